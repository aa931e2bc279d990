//! Every text of the pages, in English and German.
//!
//! The English text of an error is the description of its reason. Errors that only a developer meets have no German one.

use crate::error::{Error, Fault, Reason};

/// A language of the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// German.
    German,
}

impl Language {
    /// The better one of the two for an `Accept-Language` header (RFC 9110 §12.5.4).
    pub fn of(header: Option<&str>) -> Self {
        let weight = |wanted: &str| {
            let ranges = header.unwrap_or_default().split(',').filter_map(|range| {
                let mut parts = range.split(';').map(str::trim);
                let tag = parts.next()?.to_ascii_lowercase();
                let is_it = tag == wanted || tag.strip_prefix(wanted).is_some_and(|rest| rest.starts_with('-'));
                let quality =
                    parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse::<f32>().ok());
                is_it.then_some(quality?)
            });
            ranges.fold(0.0, f32::max)
        };
        if weight("de") > weight("en") { Self::German } else { Self::English }
    }

    /// The language tag (RFC 5646).
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
        }
    }
}

macro_rules! texts {
    ($($name:ident: $english:literal, $german:literal;)+) => {
        /// The texts in one language.
        pub struct Texts { $(pub $name: &'static str,)+ }

        const ENGLISH: Texts = Texts { $($name: $english,)+ };
        const GERMAN: Texts = Texts { $($name: $german,)+ };
    };
}

texts! {
    sign_in: "Sign in", "Anmelden";
    sign_in_to: "Sign in to go on with", "Anmelden und fortfahren mit";
    sign_in_stronger: "This needs a sign-in just now, with a second factor.", "Dafür ist jetzt eine Anmeldung mit einem zweiten Faktor nötig.";
    sign_in_with: "Continue with", "Weiter mit";
    sign_out: "Sign out", "Abmelden";
    demo: "Demonstration person", "Demonstrationsperson";
    demo_note: "Exists on this machine only: everybody here can be this person.", "Gibt es nur auf diesem Rechner: jeder hier kann diese Person sein.";
    nobody: "Nobody can sign in here yet: an administrator has to register an identity provider or invite people.", "Hier kann sich noch niemand anmelden: ein Administrator muss einen Identitätsanbieter eintragen oder Personen einladen.";
    going_to: "Going to", "Weiter zu";
    go_on: "Go on", "Weiter";
    try_again: "Sign in again", "Noch einmal anmelden";
    wants_access: "wants to use", "möchte";
    wants_access_end: "", "verwenden";
    signed_in_as: "You are signed in as", "Sie sind angemeldet als";
    another_person: "Not you? Sign in as somebody else", "Nicht Sie? Als jemand anderes anmelden";
    known_admin: "Registered by an administrator of this organisation.", "Von einem Administrator dieser Organisation eingetragen.";
    known_document: "Known by the document at", "Bekannt durch das Dokument bei";
    known_dynamic: "Registered by itself: nobody has verified its name.", "Hat sich selbst eingetragen: niemand hat den Namen geprüft.";
    at: "At", "Bei";
    returns_to: "Returns to", "Kehrt zurück zu";
    loopback: "This is a program on your own computer. Continue only if you have just started it yourself.", "Das ist ein Programm auf Ihrem eigenen Computer. Fahren Sie nur fort, wenn Sie es gerade selbst gestartet haben.";
    may: "It may", "Es darf";
    already: "You have allowed this before", "Das haben Sie schon erlaubt";
    new_line: "new", "neu";
    reads: "reads", "liest";
    changes: "changes", "ändert";
    deletes: "deletes", "löscht";
    detail_once: "For this connection only:", "Nur für diese Verbindung:";
    tool: "Tool", "Werkzeug";
    asks_again: "Will be asked again when it is used.", "Wird bei der Verwendung noch einmal gefragt.";
    nothing_possible: "Nothing of this can be allowed: an administrator can change it.", "Nichts davon kann erlaubt werden: ein Administrator kann das ändern.";
    not_possible: "Not possible", "Nicht möglich";
    no_permit: "no policy of your organisation permits it", "keine Richtlinie Ihrer Organisation erlaubt es";
    forbidden: "a policy of your organisation forbids it", "eine Richtlinie Ihrer Organisation verbietet es";
    undecided: "the policies of your organisation cannot be evaluated", "die Richtlinien Ihrer Organisation lassen sich nicht auswerten";
    openid: "Know who you are here", "Wissen, wer Sie hier sind";
    profile: "See your name", "Ihren Namen sehen";
    email: "See your e-mail address", "Ihre E-Mail-Adresse sehen";
    offline_access: "Stay connected while you are away", "Verbunden bleiben, während Sie weg sind";
    device: "Connect a device", "Ein Gerät verbinden";
    device_code: "The code that the device shows", "Der Code, den das Gerät zeigt";
    device_same: "Is this the code that the device shows? If not, go no further.", "Ist das der Code, den das Gerät zeigt? Wenn nicht, brechen Sie ab.";
    device_warning: "Go on only if you have just started this yourself, on a device that you have before you. Never enter a code that somebody has sent you.", "Fahren Sie nur fort, wenn Sie das gerade selbst gestartet haben, auf einem Gerät, das vor Ihnen steht. Geben Sie nie einen Code ein, den Ihnen jemand geschickt hat.";
    device_shows: "The device shows", "Das Gerät zeigt";
    device_compare: "Allow this only if the device before you shows this code. Whoever has the device can then do what you allow.", "Erlauben Sie das nur, wenn das Gerät vor Ihnen diesen Code zeigt. Wer das Gerät hat, kann dann tun, was Sie erlauben.";
    device_approved: "The device is connected", "Das Gerät ist verbunden";
    device_denied: "You have refused the device", "Sie haben das Gerät abgelehnt";
    device_back: "You can close this page and go back to the device.", "Sie können diese Seite schließen und zum Gerät zurückkehren.";
    how_long: "For how long", "Für wie lange";
    as_above: "as chosen below", "wie unten gewählt";
    as_before: "as before", "wie bisher";
    once: "this time", "dieses Mal";
    hour: "an hour", "eine Stunde";
    day: "a day", "einen Tag";
    month: "30 days", "30 Tage";
    open: "until taken back", "bis auf Widerruf";
    deny: "Refuse", "Ablehnen";
    allow: "Allow", "Erlauben";
    take_back: "You can take this back at any time:", "Sie können das jederzeit zurücknehmen:";
    connected: "Connected applications", "Verbundene Anwendungen";
    none_connected: "No application is connected to you.", "Mit Ihnen ist keine Anwendung verbunden.";
    nothing_allowed: "You have allowed it nothing that lasts.", "Sie haben ihr nichts auf Dauer erlaubt.";
    address: "Address", "Adresse";
    through: "Through", "Über";
    since: "Since", "Seit";
    until: "until", "bis";
    last_used: "Last used", "Zuletzt verwendet";
    never: "not yet", "noch nicht";
    in_30_days: "Tokens in 30 days", "Token in 30 Tagen";
    not_known: "not known here", "hier nicht bekannt";
    more_than: "at least", "mindestens";
    take_line_back: "Take back", "Zurücknehmen";
    pause: "Pause", "Anhalten";
    resume: "Let it go on", "Fortsetzen";
    stop: "Stop", "Beenden";
    paused_before: "You have paused it; allowing lets it go on.", "Sie haben diese Anwendung angehalten; wenn Sie erlauben, arbeitet sie weiter.";
    stopped_before: "You have stopped it; allowing lets it go on.", "Sie haben diese Anwendung beendet; wenn Sie erlauben, arbeitet sie weiter.";
    paused: "You have paused it: it gets nothing until you let it go on.", "Sie haben sie angehalten: sie bekommt nichts, bis Sie sie fortsetzen.";
    stopped: "You have stopped it: it gets nothing until you allow it again, from the application itself.", "Sie haben sie beendet: sie bekommt nichts, bis Sie es ihr von der Anwendung aus neu erlauben.";
    stopped_by_administrator: "An administrator has stopped it.", "Ein Administrator hat sie gestoppt.";
    taken: "Done.", "Erledigt.";
    holds_from: "Holds everywhere here at the latest from", "Gilt hier überall spätestens ab";
    offline_until: "A service that does not ask us may take what it has until", "Ein Dienst, der uns nicht fragt, kann noch annehmen, was er hat, bis";
    resumed: "It goes on.", "Sie kann weiterarbeiten.";
    connect: "Connect", "Verbinden mit";
    connect_needed: "needs it to go on.", "braucht es, um weiterzumachen.";
    connect_asks: "At the service you are asked to allow:", "Beim Dienst werden Sie gebeten zu erlauben:";
    connect_stays: "What the service gives stays here, sealed. The application gets what it needs for one use at a time, and you can disconnect at any time.", "Was der Dienst gibt, bleibt hier, versiegelt. Die Anwendung bekommt, was sie für eine Verwendung braucht, und Sie können jederzeit trennen.";
    connect_done: "The account is connected", "Das Konto ist verbunden";
    connect_lacking: "The service has not granted all that was asked for. Missing:", "Der Dienst hat nicht alles gewährt. Es fehlt:";
    connect_there: "This account is connected:", "Dieses Konto ist verbunden:";
    connect_again: "Connect again", "Noch einmal verbinden";
    connect_back: "You can close this page and go back to the application: its next try goes on.", "Sie können diese Seite schließen und zur Anwendung zurückkehren: ihr nächster Versuch geht weiter.";
    connect_other: "This is another account", "Das ist ein anderes Konto";
    connect_other_is: "Connected is", "Verbunden ist";
    connect_other_chosen: "You have chosen", "Gewählt haben Sie";
    connect_replace: "Connect the chosen one instead", "Stattdessen das gewählte verbinden";
    connect_keep: "Keep the one that is connected", "Das verbundene behalten";
    accounts: "Connected accounts", "Verbundene Konten";
    disconnect: "Disconnect", "Trennen";
    disconnected: "It is disconnected.", "Es ist getrennt.";
    reconnect: "Connect again", "Neu verbinden";
    account_active: "works", "funktioniert";
    account_trouble: "the service is in trouble; it is tried again", "beim Dienst gibt es Probleme; es wird wieder versucht";
    account_uncertain: "a reply of the service was lost", "eine Antwort des Dienstes ging verloren";
    account_revoked: "the service refuses it: connect it again", "der Dienst lehnt es ab: verbinden Sie es neu";
    account_expired: "it has expired: connect it again", "es ist abgelaufen: verbinden Sie es neu";
    account_withdrawn: "you have taken it back at the service: connect it again", "Sie haben es beim Dienst zurückgenommen: verbinden Sie es neu";
    account_scope_lost: "the service grants less than before: connect it again", "der Dienst gewährt weniger als zuvor: verbinden Sie es neu";
    account_changed: "another account answers: connect it again", "ein anderes Konto antwortet: verbinden Sie es neu";
    account_misconfigured: "the connection is set up wrongly: tell an administrator", "die Verbindung ist falsch eingerichtet: sagen Sie es einem Administrator";
    account_disabled: "an administrator has stopped it", "ein Administrator hat es gestoppt";
    sign_out_everywhere: "Sign out everywhere", "Überall abmelden";
    passkey_use: "Use a passkey", "Passkey verwenden";
    passkey_set_up: "Set up a passkey", "Passkey einrichten";
    invited: "Invited", "Eingeladen";
    passkey_what: "With a passkey you sign in by your fingerprint, your face or the code of your device. There is no password.", "Mit einem Passkey melden Sie sich mit Fingerabdruck, Gesicht oder dem Code Ihres Geräts an. Es gibt kein Passwort.";
    passkey_name: "Name of the device (may be left out)", "Name des Geräts (kann wegbleiben)";
    passkey_failed: "That did not work, or was cancelled. Try again, or use another device.", "Das hat nicht geklappt oder wurde abgebrochen. Versuchen Sie es noch einmal oder mit einem anderen Gerät.";
    passkey_unsupported: "This browser cannot use passkeys. Open the page in another browser, or update this one.", "Dieser Browser kann keine Passkeys verwenden. Öffnen Sie die Seite in einem anderen Browser, oder aktualisieren Sie diesen.";
    passkey_script: "A passkey needs JavaScript. Allow it for this site and load the page again, or open it in another browser.", "Ein Passkey braucht JavaScript. Erlauben Sie es für diese Seite und laden Sie sie neu, oder öffnen Sie sie in einem anderen Browser.";
    approvals: "Approvals", "Freigaben";
    approvals_none: "Nothing waits for your decision.", "Nichts wartet auf Ihre Entscheidung.";
    approvals_decided: "You have decided", "Sie haben entschieden";
    approval_asks: "asks for your approval", "bittet um Ihre Freigabe";
    approval_number: "Number", "Nummer";
    approval_compare: "Approve this only if you expect it, and if the application or the message that has led you here shows the same number.", "Geben Sie das nur frei, wenn Sie es erwarten und die Anwendung oder die Nachricht, die Sie hierher geführt hat, dieselbe Nummer zeigt.";
    approval_for: "On behalf of", "Im Auftrag von";
    approval_itself: "itself", "sich selbst";
    approval_asked_by: "Asked by", "Gefragt von";
    approval_connection: "Connection", "Verbindung";
    approval_account: "Account", "Konto";
    approval_scope: "Scope", "Umfang";
    approval_call: "Call", "Aufruf";
    approval_with: "With", "Mit";
    approval_money: "Amount", "Betrag";
    approval_reason: "Reason, as it was given", "Grund, wie er angegeben wurde";
    approval_policies: "Required by", "Verlangt von";
    approval_until: "Until", "Bis";
    approval_note: "Note to the agent (may be left out)", "Nachricht an den Agenten (kann wegbleiben)";
    approval_once: "What you approve counts once, and for this alone.", "Was Sie freigeben, gilt einmal und nur hierfür.";
    approval_approve: "Approve", "Freigeben";
    approval_sign: "Approve with your passkey", "Mit Ihrem Passkey freigeben";
    approval_digest: "Your passkey signs", "Ihr Passkey unterschreibt";
    approval_back: "Look at it again", "Noch einmal ansehen";
    approval_others: "You have approved this. Others have to approve it as well.", "Sie haben das freigegeben. Andere müssen es auch freigeben.";
    approval_approved: "This is approved. The application goes on with its next try.", "Das ist freigegeben. Die Anwendung macht mit ihrem nächsten Versuch weiter.";
    approval_used: "This was approved, and has been used.", "Das wurde freigegeben und ist verwendet.";
    approval_denied: "This is denied.", "Das ist abgelehnt.";
    approval_revoked: "An administrator has taken this back.", "Ein Administrator hat das zurückgenommen.";
    approval_over: "Nobody has decided in time: it is denied.", "Niemand hat rechtzeitig entschieden: es ist abgelehnt.";
    error: "This did not work", "Das hat nicht geklappt";
    go_back: "Go back to the application and connect again. Nothing was changed.", "Gehen Sie zurück zur Anwendung und verbinden Sie noch einmal. Es wurde nichts geändert.";
}

impl Language {
    /// Its texts.
    pub const fn texts(self) -> &'static Texts {
        match self {
            Self::English => &ENGLISH,
            Self::German => &GERMAN,
        }
    }
}

impl Language {
    /// The text of an error, and the language that it is in.
    pub const fn describe(self, error: &Error) -> (&'static str, Self) {
        match error {
            Error::Refused(refusal) => self.describe_refusal(refusal.reason),
            Error::Fault(fault) => self.either(fault.wire().description, Some(fault_in_german(*fault))),
        }
    }

    /// The text of a refusal, and the language that it is in.
    pub const fn describe_refusal(self, reason: Reason) -> (&'static str, Self) {
        self.either(reason.wire().description, in_german(reason))
    }

    const fn either(self, english: &'static str, german: Option<&'static str>) -> (&'static str, Self) {
        match (self, german) {
            (Self::German, Some(german)) => (german, Self::German),
            _ => (english, Self::English),
        }
    }
}

const fn fault_in_german(fault: Fault) -> &'static str {
    match fault {
        Fault::Unavailable(_) => "Versuchen Sie es gleich noch einmal",
        Fault::Broken(_) => "Bei uns ist etwas kaputt",
    }
}

/// What a person can do about a refusal. A developer's mistake in an authorization request has none.
const fn in_german(reason: Reason) -> Option<&'static str> {
    Some(match reason {
        Reason::NoSuchPath | Reason::UnknownTenant | Reason::NotFound => "Hier gibt es nichts",
        Reason::TenantSuspended => "Diese Organisation ist gesperrt",
        Reason::BodyTooLarge | Reason::MalformedForm | Reason::WrongMediaType => {
            "Das Formular ist zu groß oder beschädigt"
        }
        Reason::UnknownClient => "Die Anwendung (`client_id`) ist hier nicht eingetragen: verbinden Sie sie neu",
        Reason::UnknownRedirectUri => "Die Anwendung hat diese Adresse (`redirect_uri`) nicht eingetragen",
        Reason::ClientDocumentUnavailable => "Das Dokument der Anwendung bei `client_id` ist nicht abrufbar",
        Reason::ClientDocumentInvalid => "Das Dokument der Anwendung bei `client_id` ist ungültig",
        Reason::ClientDomainRefused => {
            "Anwendungen dieser Domain dürfen sich hier nicht verbinden: ein Administrator kann sie zulassen"
        }
        Reason::ClientApprovalWanted => {
            "Ein Administrator ist gebeten, Anwendungen dieser Domain zuzulassen: versuchen Sie es später noch einmal"
        }
        Reason::RegistrationForbidden => {
            "Eine Richtlinie verbietet es, diese Anwendung einzutragen: ein Administrator kann mehr sagen"
        }
        Reason::InvalidRequestUri => {
            "Die Anfrage ist abgelaufen oder schon verwendet: verbinden Sie von der Anwendung aus noch einmal"
        }
        Reason::NothingChosen => "Nichts ist angekreuzt: kreuzen Sie etwas an, oder lehnen Sie ab",
        Reason::ConsentChanged => "Das wurde in einem anderen Fenster entschieden: sehen Sie es noch einmal an",
        Reason::FormExpired => {
            "Diese Seite ist abgelaufen oder wurde in einem anderen Browser geöffnet: verbinden Sie von der Anwendung aus noch einmal"
        }
        Reason::CrossOrigin => "Eine andere Website hat dieses Formular gesendet",
        Reason::NoSuchProvider => "So kann sich hier niemand anmelden",
        Reason::AccountStopped => "Dieses Konto ist gesperrt: ein Administrator kann mehr sagen",
        Reason::SignInExpired => {
            "Diese Anmeldung ist abgelaufen oder wurde in einem anderen Browser begonnen: melden Sie sich noch einmal an"
        }
        Reason::SignInDeclined => {
            "Ihr Identitätsanbieter hat Sie nicht angemeldet: versuchen Sie es noch einmal, oder fragen Sie, wer ihn betreibt"
        }
        Reason::SignInInvalid => {
            "Was Ihr Identitätsanbieter antwortet, zählt hier nicht: versuchen Sie es noch einmal, oder sagen Sie es einem Administrator"
        }
        Reason::IdentityProviderDown => {
            "Ihr Identitätsanbieter gibt gerade keine brauchbare Antwort: versuchen Sie es noch einmal"
        }
        Reason::UnknownAccount => "Dieses Konto hat hier niemand: ein Administrator muss es eintragen",
        Reason::InvitationOver => {
            "Diese Einladung gilt nicht mehr: melden Sie sich mit dem Passkey an, den Sie eingerichtet haben, oder bitten Sie einen Administrator um eine neue"
        }
        Reason::PasskeyNotMade => {
            "Dieser Passkey ließ sich nicht einrichten: versuchen Sie es noch einmal, oder mit einem anderen Gerät"
        }
        Reason::PasskeyRefused => {
            "Dieser Passkey zählt hier nicht: nehmen Sie einen anderen, oder bitten Sie einen Administrator um eine Einladung"
        }
        Reason::UnknownUserCode => {
            "Kein Gerät wartet mit diesem Code: sehen Sie noch einmal auf das Gerät, oder beginnen Sie dort neu"
        }
        Reason::TooManyUserCodes => {
            "Zu viele Codes wurden eingegeben: warten Sie eine Minute, und sehen Sie noch einmal auf das Gerät"
        }
        Reason::OtherPerson => {
            "Dieser Link ist für jemand anderes: melden Sie sich als die Person an, deren Agent ihn gezeigt hat"
        }
        Reason::NoSuchService => {
            "Hier lässt sich kein Konto verbinden: sehen Sie den Link noch einmal an, oder fragen Sie einen Administrator"
        }
        Reason::AccountDisabled => "Ein Administrator hat dieses Konto gestoppt, und kann es weiterlaufen lassen",
        Reason::TooManyAccounts => "Hier sind so viele Konten verbunden, wie es sein dürfen: trennen Sie zuerst eines",
        Reason::ConnectMisconfigured => {
            "Der Dienst nimmt diese Verbindung nicht, wie sie eingerichtet ist: sagen Sie es einem Administrator"
        }
        Reason::ConnectExpired => {
            "Diese Seite ist abgelaufen oder wurde in einem anderen Browser geöffnet: verbinden Sie noch einmal"
        }
        Reason::ConnectDeclined => {
            "Der Dienst hat nichts verbunden: versuchen Sie es noch einmal, und erlauben Sie es dort"
        }
        Reason::ConnectFailed => {
            "Der Dienst gibt keine brauchbare Antwort: versuchen Sie es noch einmal, oder sagen Sie es einem Administrator"
        }
        Reason::ApprovalDecided => "Das ist schon entschieden: sehen Sie es noch einmal an",
        Reason::ApprovalWidened => "Nichts ist angekreuzt: kreuzen Sie etwas an, oder lehnen Sie ab",
        Reason::TooManyFailures => "Zu viele Versuche sind misslungen: warten Sie eine Minute",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_better_language_of_the_browser_is_taken_and_english_where_neither_is() {
        for (header, language) in [
            (None, Language::English),
            (Some("de"), Language::German),
            (Some("de-AT,de;q=0.9,en;q=0.8"), Language::German),
            (Some("en-GB,en;q=0.9,de;q=0.8"), Language::English),
            (Some("fr, de;q=0.5"), Language::German),
            (Some("den, dez"), Language::English),
            (Some("de;q=x"), Language::English),
        ] {
            assert_eq!(Language::of(header), language, "{header:?}");
        }
    }
}
