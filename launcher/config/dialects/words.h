// Small text functions that translators share.
#pragma once

#include <string>
#include <string_view>

namespace muster::config {

// In small letters.
std::string lower(std::string_view text);

// Without blanks and line ends on both sides.
std::string_view trimmed(std::string_view text);

// Small letters, no blanks around it, no underscores: how words of a fixed list are compared.
std::string plain_word(std::string_view text);

// "\"x\" is not one of a, b": for a message.
std::string one_of(std::string_view text, std::string_view choices);

}  // namespace muster::config
