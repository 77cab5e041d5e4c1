// What the tests of launcher/config say often.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/error_text.h"
#include "launcher/config/read_config.h"

namespace muster::config {

inline std::string test_file(const std::string& name) {
  std::ifstream in(std::string(MUSTER_TEST_DATA) + "/configs/" + name, std::ios::binary);
  EXPECT_TRUE(in) << "no test file " << name;
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

inline std::string text_of(const Problems& problems) {
  std::string text;
  for (const Error& problem : problems) text += format_error(problem);
  return text;
}

inline std::vector<Override> sets(const std::vector<std::string>& words) {
  std::vector<Override> overrides;
  for (const std::string& word : words) overrides.push_back(parse_set(word).value());
  return overrides;
}

inline tl::expected<RunConfig, Problems> read(std::string_view text,
                                              const std::vector<std::string>& words = {}) {
  return read_config(text, "run.yaml", "/configs", sets(words));
}

// The config, or a failed test and an empty one.
inline RunConfig config_of(std::string_view text, const std::vector<std::string>& words = {}) {
  auto config = read(text, words);
  if (config) return *config;
  ADD_FAILURE() << text_of(config.error());
  return {};
}

// Everything that is said about a config that must be refused; "" when it was not.
inline std::string problems_of(std::string_view text, const std::vector<std::string>& words = {}) {
  auto config = read(text, words);
  return config ? "" : text_of(config.error());
}

// A config with one more line, for tests about that line.
inline std::string with_line(const std::string& line) {
  return "entry_script: train.py\n" + line + "\n";
}

}  // namespace muster::config
