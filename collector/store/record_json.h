// How records of the store name files: most names are text, but a file name may be any bytes.
// Included by .cc files only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace muster::store {

// {"path":"..."} or, where the bytes are no UTF-8, {"path_hex":"..."}.
template <typename Json>
void put_name(Json& json, const std::string& key, std::string_view name) {
  try {
    static_cast<void>(Json(name).dump());
    json[key] = name;
  } catch (const typename Json::exception&) {
    constexpr char kDigits[] = "0123456789abcdef";
    std::string hex;
    for (const char byte : name) {
      const auto value = static_cast<unsigned char>(byte);
      hex += kDigits[value >> 4];
      hex += kDigits[value & 15];
    }
    json[key + "_hex"] = hex;
  }
}

std::optional<std::string> bytes_of_hex(std::string_view hex);

template <typename Json>
std::optional<std::string> text_of(const Json& json, const std::string& key) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_string()) return std::nullopt;
  return found->template get<std::string>();
}

template <typename Json>
std::optional<std::string> name_of(const Json& json, const std::string& key) {
  if (auto text = text_of(json, key)) return text;
  const auto hex = text_of(json, key + "_hex");
  return hex ? bytes_of_hex(*hex) : std::nullopt;
}

template <typename Json>
std::optional<std::uint64_t> count_of(const Json& json, const std::string& key) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_number_unsigned()) return std::nullopt;
  return found->template get<std::uint64_t>();
}

template <typename Json>
std::optional<std::int64_t> integer_of(const Json& json, const std::string& key) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_number_integer()) return std::nullopt;
  return found->template get<std::int64_t>();
}

}  // namespace muster::store
