//! Google: its token endpoint, its security token service, and its service that impersonates.

use super::*;

impl Services {
    pub(super) fn google(&self, form: &Form) -> Checked {
        let assertion = form.get("assertion").ok_or("assertion")?;
        let (_, claims) = self.assertion(assertion, Alg::Rs256, &rsa_jwk(KEY), (3600, 0))?;
        match claims.get("target_audience") {
            Some(aud) if claims.get("scope").is_none() => {
                Ok(Scripted::json(200, json!({"id_token": self.id_token(aud)})))
            }
            None if claims["scope"].is_string() => {
                self.bearer(json!({"access_token": self.token(claims["sub"].as_str().unwrap_or("robot"))}))
            }
            _ => Err("claims"),
        }
    }

    /// An identity token of Google.
    fn id_token(&self, aud: &Value) -> String {
        let now = self.clock.seconds();
        let claims = json!({"iss": "https://accounts.google.com", "aud": aud, "iat": now, "exp": now + 3600});
        Signer::new(Alg::Rs256, 9).jwt(json!({"kid": "google"}), &claims)
    }

    pub(super) fn google_sts(&self, request: &Outbound, form: &Form) -> Checked {
        if let Some(options) = form.get("options") {
            let access_token = "urn:ietf:params:oauth:token-type:access_token";
            let wanted = [
                ("grant_type", TOKEN_EXCHANGE),
                ("subject_token_type", access_token),
                ("requested_token_type", access_token),
            ];
            let subject = form.get("subject_token").ok_or("subject token")?;
            let options: Value = serde_json::from_str(options).map_err(|_| "options")?;
            let rules = options["accessBoundary"]["accessBoundaryRules"].as_array().ok_or("rules")?;
            let is_right = wanted.iter().all(|(name, value)| form.get(*name).map(String::as_str) == Some(value));
            if !is_right || form.len() != 5 || rules.is_empty() || !subject.contains(UPSTREAM) {
                return Err("parameters of a boundary");
            }
            // Google says no `expires_in` of a token that was made from one of a service account.
            return Ok(Scripted::json(
                200,
                json!({
                    "access_token": self.token("bounded"), "token_type": "Bearer", "issued_token_type": access_token,
                }),
            ));
        }
        let wanted = [
            ("grant_type", TOKEN_EXCHANGE),
            ("audience", POOL),
            ("scope", "https://www.googleapis.com/auth/cloud-platform"),
            ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ];
        if wanted.iter().any(|(name, value)| form.get(*name).map(String::as_str) != Some(value))
            || header_is_there(request)
        {
            return Err("parameters");
        }
        self.own_token(form.get("subject_token").ok_or("subject token")?, &format!("https:{POOL}"))?;
        self.bearer(json!({
            "access_token": "federated", "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        }))
    }

    pub(super) fn iam_credentials(&self, request: &Outbound, path: &str, form: &Form) -> Checked {
        if header(request, "authorization") != Some("Bearer federated") {
            return Err("bearer");
        }
        let body: Value = serde_json::from_str(&form["body"]).map_err(|_| "body")?;
        let verb = path.strip_prefix(&format!("/v1/projects/-/serviceAccounts/{ROBOT}:")).ok_or("account")?;
        let at = jiff::Timestamp::from_second(self.clock.seconds() as i64 + 3600).unwrap().to_string();
        match verb {
            "generateAccessToken" if body["scope"].is_array() && body["lifetime"] == "3600s" => {
                Ok(Scripted::json(200, json!({"accessToken": self.token("ya29"), "expireTime": at})))
            }
            "generateIdToken" if body["includeEmail"] == true => {
                Ok(Scripted::json(200, json!({"token": self.id_token(&body["audience"])})))
            }
            _ => Err("verb or body"),
        }
    }
}
