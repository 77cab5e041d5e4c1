#include "base/json_text.h"

#include <cstdio>
#include <string_view>

namespace muster {
namespace {

struct Control {
  std::size_t length = 0;  // of its UTF-8; 0: none
  unsigned code = 0;
};

Control control_of(std::string_view text) {
  const auto byte = [&](std::size_t at) {
    return at < text.size() ? static_cast<unsigned char>(text[at]) : 0U;
  };
  if (byte(0) == 0x7f) return {1, 0x7f};
  if (byte(0) == 0xc2 && byte(1) >= 0x80 && byte(1) < 0xa0) return {2, byte(1)};
  if (byte(0) != 0xe2) return {};
  const bool embeds = byte(1) == 0x80 && byte(2) >= 0xaa && byte(2) <= 0xae;
  const bool isolates = byte(1) == 0x81 && byte(2) >= 0xa6 && byte(2) <= 0xa9;
  if (!embeds && !isolates) return {};
  return {3, 0x2000U | (byte(1) & 0x3fU) << 6 | (byte(2) & 0x3fU)};
}

}  // namespace

std::string without_raw_controls(std::string json) {
  constexpr const char* kLeads = "\x7f\xc2\xe2";
  std::size_t at = json.find_first_of(kLeads);
  if (at == json.npos) return json;
  std::string safe;
  std::size_t copied = 0;
  for (; at != json.npos; at = json.find_first_of(kLeads, at + 1)) {
    const Control control = control_of(std::string_view(json).substr(at));
    if (control.length == 0) continue;
    char escape[8];
    std::snprintf(escape, sizeof escape, "\\u%04x", control.code);
    safe.append(json, copied, at - copied).append(escape);
    copied = at + control.length;
  }
  return safe.append(json, copied);
}

}  // namespace muster
