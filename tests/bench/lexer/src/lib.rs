//! One policy, parsed: the first time its parser is made as well.

use cedar_policy::PolicySet;

const POLICY: &str = "permit(principal == Client::\"a\", action == Action::\"issue\", resource in Resource::\"r\") \
                      when { [\"read\"].contains(resource.name) && context.hour >= 2 && context.hour < 4 };";

/// How many statements were read.
#[unsafe(no_mangle)]
pub extern "C" fn parse() -> usize {
    POLICY.parse::<PolicySet>().map_or(0, |set| set.num_of_policies())
}
