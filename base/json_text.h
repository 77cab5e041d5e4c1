// JSON that is printed, or may be: nothing in it moves a terminal's cursor or turns its text
// around.
#pragma once

#include <string>

namespace muster {

// JSON has to escape C0 controls only.  The same text with DEL, the C1 controls and those of the
// direction of text (U+202A to U+202E, U+2066 to U+2069) as \uXXXX: it means the same.
std::string without_raw_controls(std::string json);

}  // namespace muster
