#include <gmock/gmock.h>

#include "config_fixture.h"

namespace muster::config {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Inputs, AreDataOrValuesOrNothing) {
  const RunConfig config = config_of(
      "command: x\n"
      "inputs:\n"
      "  digits: {path: datastore://store/digits, mode: download, type: file}\n"
      "  lr: 1.0\n"
      "  unset:\n");
  ASSERT_EQ(config.inputs.size(), 3U);
  const DataBinding& digits = config.inputs[0];
  EXPECT_EQ(digits.name, "digits");
  EXPECT_EQ(digits.origin.text, "run.yaml:3:3");
  EXPECT_EQ(digits.path.value, "datastore://store/digits");
  EXPECT_EQ(digits.mode.value, DataMode::kDownload);
  EXPECT_EQ(digits.type.value, DataType::kFile);
  EXPECT_TRUE(digits.read_only.value);
  EXPECT_EQ(config.inputs[1].literal->value, "1.0");
  EXPECT_FALSE(config.inputs[2].literal || config.inputs[2].path.value);
}

TEST(Outputs, MayStayInTheRunDirectory) {
  const RunConfig config = config_of(
      "command: x\n"
      "outputs: {model: {path: /models, mode: upload, overwrite: true}, notes: }\n");
  ASSERT_EQ(config.outputs.size(), 2U);
  EXPECT_EQ(config.outputs[0].mode.value, DataMode::kUpload);
  EXPECT_TRUE(config.outputs[0].overwrite.value);
  EXPECT_FALSE(config.outputs[1].path.value);
}

TEST(Inputs, GiveWayToFlagsFieldByField) {
  const char* text = "command: x\ninputs: {digits: {path: /a, mode: mount}}\n";
  const RunConfig config =
      config_of(text, {"inputs.digits.path=/b", "inputs.new.path=/c", "inputs.lr=2"});
  ASSERT_EQ(config.inputs.size(), 3U);
  EXPECT_EQ(config.inputs[0].path.value, "/b");
  EXPECT_EQ(config.inputs[0].path.origin.replaced.at(0).value, "/a");
  EXPECT_EQ(config.inputs[1].path.value, "/c");
  EXPECT_EQ(config.inputs[2].literal->value, "2");
}

TEST(Inputs, AreRefusedWhereTheyStand) {
  EXPECT_EQ(problems_of("command: x\ninputs: {digits: {pth: /a}}\n"),
            "muster: error: unknown key \"pth\" in inputs.digits\n"
            "  run.yaml:2:19: inputs: {digits: {pth: /a}}\n"
            "                                   ^\n"
            "  hint: did you mean \"path\"?\n");
  EXPECT_THAT(problems_of("command: x\ninputs: {a.b: 1}\n"),
              HasSubstr("inputs: \"a.b\" cannot be the name of data"));
  EXPECT_THAT(problems_of("command: x\noutputs: {model: /m}\n"),
              HasSubstr("outputs.model: an output is no value\n"));
  EXPECT_THAT(problems_of("command: x\noutputs: {model: {path: /m, mode: download}}\n"),
              HasSubstr("an output is not downloaded"));
  EXPECT_THAT(problems_of("command: x\noutputs: {model: {read_only: true}}\n"),
              HasSubstr("unknown key \"read_only\" in outputs.model"));
  EXPECT_THAT(problems_of("command: x\ninputs: [1]\n"), HasSubstr("it takes names with values"));
}

TEST(WordLists, KeepTheirTextAndTakeASingleWord) {
  const RunConfig config = config_of(with_line(
      "arguments: [--lr, 1.0, '', \"a b\"]\nenvironment: {python: {pip_packages: numpy}}"));
  EXPECT_THAT(script_arguments(config), ElementsAre("--lr", "1.0", "", "a b"));
  ASSERT_EQ(config.python.pip_packages.size(), 1U);
  EXPECT_EQ(config.python.pip_packages[0].value, "numpy");
  EXPECT_THAT(problems_of("command: x\narguments: [a]\n"),
              HasSubstr("arguments go with entry_script, and this run has a command"));
  EXPECT_THAT(problems_of(with_line("arguments: [[a]]")), HasSubstr("a list of single values"));
}

TEST(Sizes, AreReadInBytes) {
  EXPECT_EQ(config_of(with_line("source: {limit_bytes: 2g}")).source.limit_bytes.value,
            std::int64_t{2} << 30);
  EXPECT_THAT(problems_of(with_line("source: {limit_bytes: 99999999999999999g}")),
              HasSubstr("is too large a size"));
  EXPECT_THAT(problems_of(with_line("in_place: 1")), HasSubstr("\"1\" is neither true nor false"));
}

}  // namespace
}  // namespace muster::config
