// How wide words are in a picture, whoever draws it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace muster::plan {

// In the widest of the fonts that a picture names (DejaVu Sans); never too small.
double width_of(std::string_view text, double size, bool bold);

// The text, or its beginning and "…"; "" where not even that fits.
std::string fitted(std::string_view text, double width, double size, bool bold);

// Lines of whole words; a word that is too long is cut.  At most so many lines.
std::vector<std::string> wrapped(std::string_view text, double width, double size, int most);

// Valid UTF-8 without control characters, whatever it was.
std::string drawable(std::string_view text);

}  // namespace muster::plan
