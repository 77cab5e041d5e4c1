// Values that only their owner should know, found by the names of their keys: in the copy of a
// config that a run keeps, and in the lines that messages show.  Pure, and for texts that are no
// good YAML, too.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace muster::config {

struct SecretValue {
  std::size_t begin = 0;  // bytes of the text
  std::size_t end = 0;
};

// password, accountKey, client_secret, HF_TOKEN, credentials, …: whatever the spelling.
bool names_a_secret_key(std::string_view key);

// In file order: scalars, and all that is below such a key.
std::vector<SecretValue> secret_values(std::string_view text);

// The text with "****" in their place; what was YAML or JSON still is.
std::string without_secret_values(std::string_view text);

// Whether a line, taken alone, gives such a key a value.  Errs towards yes.
bool may_show_secret(std::string_view line);

}  // namespace muster::config
