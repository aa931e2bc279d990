//! The demonstration person: exists only where the issuer is on the machine of its developer.

use super::session::SignedIn;
use crate::context::Cx;
use crate::directory::users;
use crate::error::{Reason, Result};
use crate::model::user::Account;
use crate::model::{User, UserBody};
use std::rc::Rc;

/// How the person is chosen on the page.
pub const NAME: &str = "demo";

/// Signs the person in, who is made now if need be.
pub async fn sign_in(cx: &Cx<'_>) -> Result<(Rc<User>, SignedIn)> {
    if !cx.config.is_development() {
        return Err(Reason::NoSuchProvider.into());
    }
    let issuer = [&cx.issuer(), "/demonstration"].concat();
    let account = Account { issuer: issuer.clone(), subject: NAME.to_owned() };
    let body = UserBody {
        name: Some("Ada Demo".to_owned()),
        email: Some("ada@demo.invalid".to_owned()),
        accounts: vec![account],
        ..UserBody::default()
    };
    let user = users::ensure(cx, body).await?;
    Ok((user, SignedIn { issuer, sid: None, acr: None, auth_time: cx.now.seconds() }))
}
