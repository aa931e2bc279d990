// Makes one call with openid-client. On stdin: {issuer, metadata, secret | key, call, arguments, dpop}: the client's
// metadata, its secret or its private JWK, a function of openid-client and what it takes after the configuration, and
// the private JWK of a DPoP key. On stdout: {result} or {error}, and `seen`: each answer's status, path and error code.

import { text } from "node:stream/consumers";
import { importJWK } from "jose";
import * as openid from "openid-client";

const wanted = JSON.parse(await text(process.stdin));
const seen = [];

async function watched(url, options) {
  const answer = await fetch(url, options);
  const body = await answer.clone().text();
  const error = body.startsWith("{") ? JSON.parse(body).error : undefined;
  seen.push({ status: answer.status, path: new URL(url).pathname, error });
  return answer;
}

async function keyPair({ d, ...jwk }) {
  const publicKey = await importJWK({ ...jwk, ext: true }, jwk.alg);
  return { privateKey: await importJWK({ ...jwk, d }, jwk.alg), publicKey };
}

async function authentication() {
  if (wanted.key) return openid.PrivateKeyJwt({ key: await importJWK(wanted.key, wanted.key.alg), kid: wanted.key.kid });
  const post = wanted.metadata.token_endpoint_auth_method === "client_secret_post";
  return post ? openid.ClientSecretPost(wanted.secret) : openid.ClientSecretBasic(wanted.secret);
}

async function call() {
  const { issuer, metadata } = wanted;
  const config = await openid.discovery(new URL(issuer), metadata.client_id, metadata, await authentication(), {
    algorithm: "oauth2",
    execute: [openid.allowInsecureRequests, openid.enableNonRepudiationChecks],
    [openid.customFetch]: watched,
  });
  const options = wanted.dpop ? [{ DPoP: openid.getDPoPHandle(config, await keyPair(wanted.dpop)) }] : [];
  return await openid[wanted.call](config, ...wanted.arguments, ...options);
}

try {
  console.log(JSON.stringify({ result: (await call()) ?? null, seen }));
} catch (error) {
  const refused = [openid.ResponseBodyError, openid.WWWAuthenticateChallengeError];
  if (!refused.some((kind) => error instanceof kind)) throw error;
  console.log(JSON.stringify({ error: seen.at(-1), seen }));
}
