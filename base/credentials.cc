#include "base/credentials.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace muster {
namespace {

constexpr std::string_view kHidden = "****";
constexpr std::string_view kEndOfUrl = " \t\r\n\"'<>|`";

// Of a shared access signature, and what package indexes and artifact stores call their tokens.
constexpr std::array<std::string_view, 6> kSecretParameters = {
    "sig", "token", "access_token", "password", "secret", "x-amz-signature"};

bool is_secret(std::string_view name) {
  return std::any_of(
      kSecretParameters.begin(), kSecretParameters.end(), [&](std::string_view each) {
        return std::equal(each.begin(), each.end(), name.begin(), name.end(), [](char a, char b) {
          return a == std::tolower(static_cast<unsigned char>(b));
        });
      });
}

// "?a=1&sig=…" to "?a=1&sig=****".
std::string query_without_secrets(std::string_view query) {
  std::string shown;
  while (!query.empty()) {
    const std::size_t end = std::min(query.find_first_of("&;#", 1), query.size());
    const std::string_view part = query.substr(0, end);
    const std::size_t equals = part.find('=');
    const bool secret = equals != std::string_view::npos && is_secret(part.substr(1, equals - 1));
    shown +=
        secret ? std::string(part.substr(0, equals + 1)) + std::string(kHidden) : std::string(part);
    query.remove_prefix(end);
  }
  return shown;
}

// What follows "://".
std::string url_without_credentials(std::string_view url) {
  const std::size_t authority_end = std::min(url.find_first_of("/?#"), url.size());
  std::string_view authority = url.substr(0, authority_end);
  std::string shown;
  if (const std::size_t at = authority.rfind('@'); at != std::string_view::npos) {
    shown = kHidden;
    authority.remove_prefix(at);
  }
  shown += authority;
  const std::string_view rest = url.substr(authority_end);
  const std::size_t query = std::min(rest.find('?'), rest.size());
  shown += rest.substr(0, query);
  return shown + query_without_secrets(rest.substr(query));
}

}  // namespace

std::string without_credentials(std::string_view text) {
  constexpr std::string_view kMark = "://";
  std::string shown;
  for (std::size_t mark = text.find(kMark); mark != std::string_view::npos;
       mark = text.find(kMark)) {
    shown += text.substr(0, mark + kMark.size());
    text.remove_prefix(mark + kMark.size());
    const std::size_t end = std::min(text.find_first_of(kEndOfUrl), text.size());
    shown += url_without_credentials(text.substr(0, end));
    text.remove_prefix(end);
  }
  shown += text;
  return shown;
}

}  // namespace muster
