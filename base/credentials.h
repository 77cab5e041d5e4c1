// Texts that people and programs write, made fit to be shown: without what only they should know.
#pragma once

#include <string>
#include <string_view>

namespace muster {

// "https://****@host/simple" for "https://name:secret@host/simple", in every URL of the text; also
// the values of ?sig=, ?token= and their like.
std::string without_credentials(std::string_view text);

}  // namespace muster
