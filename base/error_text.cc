#include "base/error_text.h"

namespace muster {
namespace {

std::string format_location(const Location& location) {
  std::string place = "  " + location.file;
  if (location.line > 0) place += ":" + std::to_string(location.line);
  if (location.line > 0 && location.column > 0) place += ":" + std::to_string(location.column);
  if (location.source_line.empty()) return place + "\n";

  // The indentation of the source says nothing here; dropping it keeps the line short.
  const std::size_t indent =
      std::min(location.source_line.find_first_not_of(" \t"), location.source_line.size());
  const std::string shown = location.source_line.substr(indent);
  const std::string head = place + ": ";
  std::string text = head + shown + "\n";
  const auto column = static_cast<std::size_t>(location.column);
  if (column > indent) {
    text += std::string(head.size(), ' ');
    for (std::size_t i = indent; i + 1 < column; ++i) {
      // A tab under a tab, so that the caret stands where the terminal put the character; the
      // continuation bytes of UTF-8 take no place.
      const char c = i < location.source_line.size() ? location.source_line[i] : ' ';
      if ((static_cast<unsigned char>(c) & 0xC0U) != 0x80U) text += c == '\t' ? '\t' : ' ';
    }
    text += "^\n";
  }
  return text;
}

}  // namespace

std::string format_error(const Error& error, const std::string& program) {
  std::string text = program + ": error: " + error.message + "\n";
  if (error.location) text += format_location(*error.location);
  if (!error.hint.empty()) text += "  hint: " + error.hint + "\n";
  return text;
}

}  // namespace muster
