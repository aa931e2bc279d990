// What clients sign: assertions (RFC 7523) and DPoP proofs (RFC 9449), each for one request.

import { generateKeyPairSync, randomUUID, sign } from "node:crypto";

/** A P-256 key pair; the public half as a JWK. */
export function keyPair() {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return { privateKey, jwk: publicKey.export({ format: "jwk" }) };
}

const part = (json) => Buffer.from(JSON.stringify(json)).toString("base64url");

function jws(header, claims, { privateKey }) {
  const input = `${part({ alg: "ES256", ...header })}.${part(claims)}`;
  const signature = sign("sha256", Buffer.from(input), { key: privateKey, dsaEncoding: "ieee-p1363" });
  return `${input}.${signature.toString("base64url")}`;
}

const seconds = () => Math.floor(Date.now() / 1000);

/** The parameters with which a client of `private_key_jwt` says who it is. */
export function assertion(client_id, audience, key) {
  const claims = { iss: client_id, sub: client_id, aud: audience, jti: randomUUID(), iat: seconds(), exp: seconds() + 60 };
  return {
    client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    client_assertion: jws({ typ: "JWT" }, claims, key),
  };
}

/** A proof for one request to `htu`. */
export const proof = (htu, key) =>
  jws({ typ: "dpop+jwt", jwk: key.jwk }, { jti: randomUUID(), htm: "POST", htu, iat: seconds() }, key);
