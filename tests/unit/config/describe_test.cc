#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/unit/config/config_fixture.h"

namespace muster::config {
namespace {

using testing::HasSubstr;

TEST(Describe, ShowsEverySettingWithItsOriginAsATable) {
  auto config = read_config(test_file("full.yaml"), "full.yaml", "/configs",
                            sets({"limits.stop_grace_period=5s"}));
  ASSERT_TRUE(config);
  config->extra_arguments = {"--epochs", "two words"};
  EXPECT_EQ(describe_text(*config), test_file("full.expected.txt"));
}

TEST(Describe, ShowsEverySettingAsJson) {
  const auto config = read_config(test_file("full.yaml"), "full.yaml", "/configs", {});
  ASSERT_TRUE(config);
  const auto json = nlohmann::json::parse(describe_json(*config));
  EXPECT_EQ(json["file"], "full.yaml");
  std::map<std::string, nlohmann::json> settings;
  for (const auto& each : json["settings"]) settings[each["key"]] = each;
  EXPECT_EQ(settings["process_count_per_node"]["value"], 4);
  EXPECT_EQ(settings["process_count_per_node"]["origin"], "full.yaml:13:25");
  EXPECT_EQ(settings["script_params.--regularization"]["value"], "1.0");
  EXPECT_EQ(settings["script_params.--layers"]["value"], (std::vector<std::string>{"64", "32.0"}));
  EXPECT_EQ(settings["script_params.--verbose"]["value"], nullptr);
  EXPECT_EQ(settings["limits.join_timeout"]["value"], "600s");
  EXPECT_EQ(settings["resources.cores_per_process"]["value"], "auto");
}

TEST(Describe, ShowsTheProgramOfTheFormWithoutAFile) {
  const auto config = config_from_command({"python3", "a b.py"}, {});
  ASSERT_TRUE(config);
  EXPECT_THAT(describe_text(*config), HasSubstr("program"));
  EXPECT_THAT(describe_text(*config), HasSubstr("python3 'a b.py'  command line\n"));
  const auto json = nlohmann::json::parse(describe_json(*config));
  EXPECT_EQ(json["file"], nullptr);
  EXPECT_EQ(json["settings"][0]["value"], (std::vector<std::string>{"python3", "a b.py"}));
}

TEST(Describe, ShowsTextsThatAreNotUtf8OrOnOneLine) {
  const RunConfig config = config_of("command: \"a\\nb\"\nsource_directory: \xFF\n");
  EXPECT_THAT(describe_text(config), HasSubstr("a\\nb"));
  EXPECT_THAT(describe_json(config), HasSubstr("\"a\\nb\""));
  EXPECT_TRUE(nlohmann::json::accept(describe_json(config)));
}

// docs/config.md, by the first cell of each row of its tables.
std::map<std::string, std::string> documented_rows() {
  std::ifstream in(std::string(MUSTER_TEST_DATA) + "/../../docs/config.md");
  EXPECT_TRUE(in) << "no docs/config.md";
  std::map<std::string, std::string> rows;
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with("| `")) continue;
    rows[line.substr(3, line.find('`', 3) - 3)] = line;
  }
  return rows;
}

TEST(ConfigReference, HasARowForEveryKeyAndForNoOther) {
  std::vector<std::string> documented;
  for (const auto& [key, row] : documented_rows()) documented.push_back(key);
  EXPECT_THAT(documented, testing::UnorderedElementsAreArray(key_paths()));
}

TEST(ConfigReference, GivesTheDefaultsThatTheReaderUses) {
  const auto rows = documented_rows();
  const RunConfig config = config_of(test_file("minimal.yaml"));
  const auto json = nlohmann::json::parse(describe_json(config));
  for (const auto& setting : json["settings"]) {
    if (setting["origin"] != "default" || setting["value"].is_null()) continue;
    const std::string key = setting["key"];
    const std::string value = setting["value"].is_string() ? setting["value"].get<std::string>()
                                                           : setting["value"].dump();
    ASSERT_TRUE(rows.contains(key)) << key;
    EXPECT_TRUE(rows.at(key).ends_with("| `" + value + "` |")) << rows.at(key);
  }
}

}  // namespace
}  // namespace muster::config
