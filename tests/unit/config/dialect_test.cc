// Which dialect a config is in, and what translators stand on.

#include <gmock/gmock.h>

#include "launcher/config/dialects/dialect.h"
#include "launcher/config/dialects/translation.h"
#include "tests/unit/config/config_fixture.h"

namespace muster::config {
namespace {

using testing::HasSubstr;

Recognised recognised(std::string_view text) {
  const SourceText source(text, "x");
  const Document document = read_document(source);
  EXPECT_TRUE(document.problems.empty()) << text_of(document.problems);
  return recognise(*document.root);
}

struct Sample {
  const char* text;
  Dialect dialect;
};

class RecognisedText : public testing::TestWithParam<Sample> {};

TEST_P(RecognisedText, IsOfThisDialect) {
  const Recognised found = recognised(GetParam().text);
  EXPECT_EQ(found.dialect, GetParam().dialect) << found.name << found.why;
  EXPECT_EQ(found.name.empty(), GetParam().dialect == Dialect::kNative);
  EXPECT_EQ(found.why.empty(), GetParam().dialect == Dialect::kNative);
}

INSTANTIATE_TEST_SUITE_P(
    Native, RecognisedText,
    testing::Values(Sample{"entry_script: train.py", Dialect::kNative},
                    Sample{"command: x\nenvironment: {image: a}", Dialect::kNative},
                    Sample{"command: x\nnode_count: 2", Dialect::kNative},
                    Sample{"command: x\nresources: {shm_size: 2g}", Dialect::kNative},
                    Sample{"command: x\ninputs: {a: {path: b, mode: mount}}", Dialect::kNative},
                    // A word of another dialect in a native file is a mistake that is told.
                    Sample{"entry_script: train.py\nscript: train.py", Dialect::kNative},
                    Sample{"enrty_script: train.py", Dialect::kNative},
                    Sample{"{}", Dialect::kNative}));

INSTANTIATE_TEST_SUITE_P(
    RunConfiguration, RecognisedText,
    testing::Values(Sample{"script: train.py\nenvironment: {}", Dialect::kRunConfiguration},
                    Sample{"{\"script\": \"a\"}", Dialect::kRunConfiguration},
                    Sample{"Script: a\nFramework: 0", Dialect::kRunConfiguration},
                    Sample{"node_count: 2\nmax_run_duration_seconds: 3",
                           Dialect::kRunConfiguration},
                    Sample{"command: x\ncommunicator: Mpi", Dialect::kRunConfiguration},
                    Sample{"command: x\nnodeCount: 2", Dialect::kRunConfiguration},
                    Sample{"Configuration: {Script: a}", Dialect::kRunConfiguration}));

INSTANTIATE_TEST_SUITE_P(
    Others, RecognisedText,
    testing::Values(Sample{"ArgumentVector: [a.py]", Dialect::kWorkbench},
                    Sample{"TrackedRun: true\nTarget: local", Dialect::kWorkbench},
                    Sample{"$schema: x\ncommand: y", Dialect::kCommandJob},
                    Sample{"command: y\ncompute: azureml:c", Dialect::kCommandJob},
                    Sample{"command: y\nenvironment: azureml:e@latest", Dialect::kCommandJob},
                    Sample{"command: y\ninputs: {a: {type: uri_file}}", Dialect::kCommandJob},
                    Sample{"command: y\nresources: {instance_count: 2}", Dialect::kCommandJob},
                    Sample{"command: y\ndistribution: {type: mpi}", Dialect::kCommandJob},
                    Sample{"type: pipeline\njobs: {}", Dialect::kCommandJob},
                    Sample{"properties: {nodeCount: 2, customMpiSettings: {}}", Dialect::kBatchAi},
                    Sample{"nodeCount: 2\nhorovodSettings: {}", Dialect::kBatchAi},
                    Sample{"$schema: https://x/BatchAI/job.json\nproperties: {}",
                           Dialect::kBatchAi}));

TEST(Dialect, SaysWhatItWasToldFrom) {
  EXPECT_EQ(recognised("script: a\nframework: Python\ntarget: local\nmpi: {}").why,
            "it has script, framework and target");
}

TEST(Dialect, TellsTheGenerationsOfTheSdk) {
  const auto name = [](std::string_view text) { return recognised(text).name; };
  EXPECT_THAT(name("script: a\nprepareEnvironment: true"), HasSubstr("(autumn 2018)"));
  EXPECT_THAT(name("script: a\nautoPrepareEnvironment: true"), HasSubstr("(December 2018 to"));
  EXPECT_THAT(name("script: a\nenvironment: {name: x}"), HasSubstr("(mid 2019 to 2020)"));
  EXPECT_THAT(name("script: a\nmpi: {nodeCount: 1}"), HasSubstr("(since late 2020)"));
}

TEST(Dialect, AFileMetByChanceIsAConfigOnlyWhenMoreSpeaksForIt) {
  for (const char* other :
       {"{\"type\": \"module\", \"scripts\": {\"test\": \"x\"}}", "services: {web: {image: x}}",
        "on: push\njobs: {build: {runs-on: x}}", "apiVersion: v1\nkind: Pod\nspec: {}",
        "name: env\ndependencies: [numpy]", "history: []\nversion: 1", "command: x", "[1, 2]",
        "$schema: https://json.schemastore.org/x", "\ta: [", "",
        "$schema: https://azuremlschemas.azureedge.net/latest/environment.schema.json\nname: e",
        "$schema: https://azuremlschemas.azureedge.net/latest/amlCompute.schema.json\nname: c",
        "script: [make, make test]\nlanguage: python\nenvironment: {name: x}"}) {
    EXPECT_FALSE(look_at(other).is_run_config) << other;
  }
  for (const char* config :
       {"entry_script: a.py", "command: x\ndistributed_backend: mpi", "script: a\nenvironment: {}",
        "script: a\nframework: Python", "Configuration: {Script: a}", "ArgumentVector: [a]",
        "type: command\ncommand: x", "command: x\ncompute: azureml:c",
        "$schema: https://azuremlschemas.azureedge.net/latest/commandJob.schema.json",
        "properties: {stdOutErrPathPrefix: x}",
        // What cannot be read, and was meant to be one.
        "$schema: "
        "https://azuremlschemas.azureedge.net/latest/commandJob.schema.json\ninputs:\n\ta: 1",
        "{\"properties\": {\"customMpiSettings\": {},}", "name: x\ntype: command\nb: 'x"}) {
    EXPECT_TRUE(look_at(config).is_run_config) << config;
  }
}

TEST(Dialect, HasAWordForEach) {
  for (const std::string& word : dialect_words()) EXPECT_TRUE(dialect_of_word(word)) << word;
  EXPECT_FALSE(dialect_of_word("v3"));
}

class TranslationTest : public testing::Test {
 protected:
  Given whole(std::string_view text) {
    source_.emplace(text, "x.json");
    to_.emplace(*source_, "/configs", [](const std::string& path) -> Result<std::string> {
      if (path == "there.yml") return "a: 1\n";
      return fail(ErrorCode::kConfig, path + " is not there");
    });
    return to_->whole(read_document(*source_).root);
  }

  std::optional<SourceText> source_;
  std::optional<Translation> to_;
};

TEST_F(TranslationTest, FindsKeysInEverySpellingAndListsTheOthers) {
  Fields fields(*to_, whole("{NodeCount: 1, process_count: 2, other: {b: 1}}"));
  ASSERT_TRUE(fields.take("nodeCount"));
  EXPECT_EQ(fields.take("processCount")->path, "process_count");
  fields.finish();
  const auto remarks = to_->take_remarks();
  ASSERT_EQ(remarks.size(), 1U);
  EXPECT_EQ(remarks[0].text, "other: not known");
  EXPECT_EQ(remarks[0].origin.text, "x.json:1:34");
}

TEST_F(TranslationTest, RefusesAKeyThatIsThereInTwoSpellings) {
  const Given root = whole("nodeCount: 1\nnode_count: 2\n");
  const Fields fields(*to_, root);
  EXPECT_EQ(text_of(to_->take_problems()),
            "muster: error: node_count: it is the same key as \"nodeCount\" on line 1\n"
            "  x.json:2:1: node_count: 2\n"
            "              ^\n"
            "  hint: keep one of the two\n");
}

TEST_F(TranslationTest, MakesANativeTreeThatKnowsTheUsersPlaces) {
  const Given root = whole("a: 1\nb: {c: 2}\n");
  Fields fields(*to_, root);
  to_->set("limits.drain_timeout", *fields.take("a"));
  auto below = fields.take_group("b");
  ASSERT_TRUE(below);
  to_->set(NativeKey("inputs") / "x.y" / "path", *below->take("c"), "4", "c is 2 of each");
  to_->derive("source_directory", ".", "why");
  to_->append("arguments", root, "one");
  to_->append("arguments", root, "two");
  const NodePtr native = to_->native();
  ASSERT_EQ(native->entries.size(), 4U);
  EXPECT_EQ(native->entries[0].value->entries[0].written_as, "a");
  EXPECT_EQ(native->entries[1].value->entries[0].key, "x.y");
  const Entry& path = native->entries[1].value->entries[0].value->entries[0];
  EXPECT_EQ(path.written_as, "b.c");
  EXPECT_EQ(source_->origin(path).text, "x.json:2:8 (c is 2 of each)");
  EXPECT_EQ(source_->origin(native->entries[2]).text, "derived: why");
  EXPECT_EQ(native->entries[3].value->items.size(), 2U);
}

TEST_F(TranslationTest, ValuesOfAnotherFileKnowThatTheyStandThere) {
  const Given root = whole("file: there.yml\n");
  auto beside = to_->mapping_beside(root.entries()[0], "there.yml");
  ASSERT_TRUE(beside);
  EXPECT_EQ(to_->origin_of(beside->entries()[0]).text, "there.yml:1:4");
  EXPECT_FALSE(to_->mapping_beside(root.entries()[0], "gone.yml"));
  EXPECT_THAT(text_of(to_->take_problems()),
              HasSubstr("file: gone.yml cannot be read: gone.yml is not there\n  x.json:1:7"));
}

}  // namespace
}  // namespace muster::config
