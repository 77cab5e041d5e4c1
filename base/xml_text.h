// Text inside of XML documents.
#pragma once

#include <string>
#include <string_view>

namespace muster {

// As the content of an element, or inside of an attribute's double quotes.
std::string xml_escaped(std::string_view text);

}  // namespace muster
