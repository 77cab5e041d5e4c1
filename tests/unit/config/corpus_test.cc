// Every config of tests/data/dialects: FILE beside FILE.expected.json, what it resolves to, or
// FILE.expected.txt, what is said about it.  MUSTER_UPDATE_GOLDEN=1 rewrites the expectations.
//
// A file in a directory `beside`, a .compute and a conda*.yml are read by others, and are no
// config.

#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "launcher/config/write_native.h"
#include "tests/unit/config/config_fixture.h"

namespace muster::config {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

const fs::path kRoot = fs::path(MUSTER_TEST_DATA) / "dialects";

bool is_config(const fs::path& path) {
  const std::string name = path.filename().string();
  const std::string extension = path.extension().string();
  if (name.find(".expected.") != std::string::npos || name.starts_with("conda")) return false;
  if (path.parent_path().filename() == "beside") return false;
  return extension == ".runconfig" || extension == ".yml" || extension == ".yaml" ||
         extension == ".json";
}

std::vector<std::string> corpus() {
  std::vector<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(kRoot)) {
    if (entry.is_regular_file() && is_config(entry.path())) {
      files.push_back(entry.path().lexically_relative(kRoot).string());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string content(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

// As if the corpus lay in /corpus: expectations name no directory of this machine.
tl::expected<RunConfig, Problems> read_in(const std::string& file, const std::string& text) {
  const fs::path directory = (fs::path("/corpus") / file).parent_path();
  Reading reading;
  reading.read_beside = [directory](const std::string& path) -> Result<std::string> {
    const fs::path whole = (directory / path).lexically_normal();
    const fs::path real = kRoot / whole.lexically_relative("/corpus");
    if (!fs::is_regular_file(real)) return fail(ErrorCode::kConfig, "it does not exist");
    return content(real);
  };
  return read_config(text, fs::path(file).filename().string(), directory.string(), {}, reading);
}

// What somebody chose, and what was said: without the defaults, which other tests have.
std::string shown(const RunConfig& config) {
  ordered_json json = ordered_json::parse(describe_json(config));
  ordered_json settings = ordered_json::array();
  for (const auto& setting : json["settings"]) {
    if (setting["origin"] != "default") settings.push_back(setting);
  }
  json["settings"] = std::move(settings);
  if (!config.dialect.empty()) json["paths_from"] = config.config_directory;
  return json.dump(1) + "\n";
}

std::map<std::string, std::string> values_of(const RunConfig& config) {
  std::map<std::string, std::string> values;
  const ordered_json json = ordered_json::parse(describe_json(config));
  for (const auto& setting : json["settings"]) {
    values[setting["key"]] = setting["value"].dump();
  }
  return values;
}

class Corpus : public testing::TestWithParam<std::string> {};

TEST_P(Corpus, ResolvesToWhatIsExpected) {
  const std::string& file = GetParam();
  const auto config = read_in(file, content(kRoot / file));
  const std::string is = config ? shown(*config) : text_of(config.error());
  const fs::path wanted = kRoot / (file + ".expected" + (config ? ".json" : ".txt"));
  if (std::getenv("MUSTER_UPDATE_GOLDEN") != nullptr) {
    fs::remove(kRoot / (file + ".expected" + (config ? ".txt" : ".json")));
    std::ofstream(wanted, std::ios::binary) << is;
    return;
  }
  ASSERT_TRUE(fs::exists(wanted)) << is;
  EXPECT_EQ(is, content(wanted));
}

// Those that are not refused.
std::vector<std::string> resolved() {
  std::vector<std::string> files = corpus();
  std::erase_if(
      files, [](const std::string& file) { return fs::exists(kRoot / (file + ".expected.txt")); });
  return files;
}

class ResolvedCorpus : public testing::TestWithParam<std::string> {};

TEST_P(ResolvedCorpus, ReadsBackFromTheNativeForm) {
  const std::string& file = GetParam();
  const auto config = read_in(file, content(kRoot / file));
  ASSERT_TRUE(config) << text_of(config.error());
  const std::string native = native_yaml(*config);
  const auto again = read_config(native, "native.yaml", config->config_directory, {});
  ASSERT_TRUE(again) << native << text_of(again.error());
  EXPECT_EQ(again->dialect, "");
  EXPECT_EQ(values_of(*again), values_of(*config)) << native;
}

std::string test_name(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  for (char& c : name) {
    const bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!word) c = '_';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(Dialects, Corpus, testing::ValuesIn(corpus()), test_name);
INSTANTIATE_TEST_SUITE_P(Dialects, ResolvedCorpus, testing::ValuesIn(resolved()), test_name);

TEST(CorpusFiles, HaveNoExpectationWithoutAConfig) {
  for (const auto& entry : fs::recursive_directory_iterator(kRoot)) {
    const std::string path = entry.path().string();
    const std::size_t end = path.find(".expected.");
    if (end == std::string::npos) continue;
    EXPECT_TRUE(fs::exists(path.substr(0, end))) << path;
  }
}

// The YAML form and the JSON form of one config say the same.
TEST(CorpusFiles, TwinsResolveAlike) {
  const auto yaml = read_in("v1/twins.yaml", content(kRoot / "v1/twins.yaml"));
  const auto json = read_in("v1/twins.json", content(kRoot / "v1/twins.json"));
  ASSERT_TRUE(yaml && json);
  EXPECT_EQ(values_of(*yaml), values_of(*json));
}

TEST(Dialects, AFlagReplacesWhatAnotherDialectSays) {
  const std::string text = "script: train.py\ncommunicator: Mpi\nmpi: {processCountPerNode: 4}\n";
  const RunConfig config = config_of(text, {"process_count_per_node=2", "entry_script=other.py"});
  EXPECT_EQ(config.process_count_per_node.value, 2);
  const std::string shown = describe_text(config);
  EXPECT_THAT(shown, testing::HasSubstr("--set process_count_per_node=2  (run.yaml:3:28 says 4)"));
  EXPECT_THAT(shown,
              testing::HasSubstr("--set entry_script=other.py  (run.yaml:1:9 says train.py)"));
}

TEST(Dialects, AProblemNamesTheKeyAsTheFileDoes) {
  EXPECT_EQ(problems_of("Script: a.py\nCommunicator: Mpi\nMpi: {ProcessCountPerNode: -1}\n"),
            "muster: error: Mpi.ProcessCountPerNode: -1 is less than 1\n"
            "  run.yaml:3:28: Mpi: {ProcessCountPerNode: -1}\n"
            "                                            ^\n"
            "  hint: write a whole number, 1 or more\n");
}

// Found by fuzzing: the hint repeated the name as it was.
TEST(Dialects, AHintHasNoControlCharactersOfTheFile) {
  const std::string text = problems_of("script: \"a\\rb.ipynb\"\ntarget: local\n");
  EXPECT_THAT(text, testing::HasSubstr("nbconvert --to script 'a?b.ipynb'"));
}

TEST(Dialects, CanBeForced) {
  Reading reading;
  reading.dialect = Dialect::kRunConfiguration;
  const std::string text = "command: python train.py\n";
  const auto v1 = read_config(text, "x", "/configs", {}, reading);
  ASSERT_TRUE(v1);
  EXPECT_EQ(v1->dialect_reason, "--dialect says so");
  EXPECT_EQ(v1->source_directory.value, ".");
  const auto native = read_config(text, "x", "/configs", {});
  ASSERT_TRUE(native);
  EXPECT_EQ(native->dialect, "");
  EXPECT_FALSE(native->source_directory.value);
}

TEST(WriteNative, QuotesWhatYamlWouldReadAsSomethingElse) {
  for (const std::string each :
       {"command: \"a: b # c\\n'\\\"\\t\"\nenvironment:\n  variables: {A: null, B: \"null\", C: "
        "\"\", "
        "D: '- x', E: \"---\", F: \"...\", G: 'a$b', H: \"tab\\t\", I: 'no', J: 1.0}\n",
        "entry_script: a b.py\narguments: ['--a', '-', '', '~', '1.0', '#x', 'a,b', '[', '{']\n"
        "script_params: {--flag: , '--x y': [a, 'b c'], --z: 010}\n"}) {
    const RunConfig config = config_of(each);
    const std::string native = native_yaml(config);
    EXPECT_EQ(values_of(config_of(native)), values_of(config)) << native;
  }
}

TEST(WriteNative, MovesRelativePathsWithTheFile) {
  const RunConfig config = config_of(
      "source_directory: ../src\nentry_script: a.py\n"
      "inputs: {a: {path: data/a}, b: {path: /data/b}, c: {path: 'datastore://s/c'}}\n");
  const RunConfig moved = relocated(config, "/configs/deep/er");
  EXPECT_EQ(moved.source_directory.value, "../../../src");
  EXPECT_EQ(moved.inputs[0].path.value, "../../data/a");
  EXPECT_EQ(moved.inputs[1].path.value, "/data/b");
  EXPECT_EQ(moved.inputs[2].path.value, "datastore://s/c");
}

}  // namespace
}  // namespace muster::config
