// What is said of ${{…}} that stand for nothing, and where.

#include "tests/unit/config/config_fixture.h"

namespace muster::config {
namespace {

constexpr const char* kInputs = "inputs: {digits: {path: /data/digits}, lr: 0.1, unset: }\n";

// "line:column: message", one for each problem.
std::string said_of(const std::string& text, const std::vector<std::string>& sets = {}) {
  auto config = read(kInputs + text, sets);
  if (config) return "";
  std::string said;
  for (const Error& problem : config.error()) {
    const Location place = problem.location.value_or(Location{});
    said += std::to_string(place.line) + ":" + std::to_string(place.column) + ": " +
            problem.message + "\n";
  }
  return said;
}

TEST(CheckReferences, PassesWhatIsDeclared) {
  EXPECT_EQ(said_of("outputs: {model: }\n"
                    "command: t ${{inputs.digits}} ${{ inputs.lr }} ${{outputs.model}} "
                    "$[[--x ${{inputs.unset}}]]\n"
                    "environment: {variables: {A: '${{inputs.lr}}'}}\n"),
            "");
  EXPECT_EQ(said_of("entry_script: t\n"
                    "script_params: {--lr: '${{inputs.lr}}'}\narguments: ['${{inputs.digits}}']\n"),
            "");
}

TEST(CheckReferences, NamesThePlaceInsideAText) {
  EXPECT_EQ(said_of("command: t ${{inputs.lr}} ${{inputs.digts}}\n"),
            "2:27: command: there is no input \"digts\"\n");
  EXPECT_EQ(said_of("command: \"t ${{inputs.digts}}\"\n"),
            "2:13: command: there is no input \"digts\"\n");
  EXPECT_EQ(said_of("command: t ${{inputs.lr\n"), "2:12: command: \"${{\" is never closed\n");
  EXPECT_EQ(said_of("command: t $[[ ${{inputs.lr}}\n"), "2:12: command: \"$[[\" is never closed\n");
}

TEST(CheckReferences, NamesThePlaceInsideABlock) {
  EXPECT_EQ(said_of("command: >-\n"
                    "  python train.py\n"
                    "    --lr ${{inputs.lr}} --data ${{inputs.lr}}\n"
                    "    --more ${{inputs.unset}}\n"),
            "5:12: command: input \"unset\" has no value\n");
  EXPECT_EQ(said_of("command: |\n  a $[[${{inputs.unset}}]]\n  b ${{inputs.unset}}\n"),
            "4:5: command: input \"unset\" has no value\n");
}

TEST(CheckReferences, NamesThePlaceInsideAList) {
  EXPECT_EQ(said_of("entry_script: t\narguments: [--a, '${{inputs.lr}}',\n  '${{inputs.b}}']\n"),
            "4:4: arguments: there is no input \"b\"\n");
  EXPECT_EQ(said_of("entry_script: t\nscript_params: {--a: [1, '${{outputs.b}}']}\n"),
            "3:27: script_params.--a: there is no output \"b\"\n");
}

TEST(CheckReferences, NamesAFlagAsItStands) {
  EXPECT_EQ(said_of("command: t\n", {"environment.variables.A=${{inputs.b}}"}),
            "0:0: --set environment.variables.A=${{inputs.b}}: there is no input \"b\"\n");
}

TEST(CheckReferences, TellsAllOfThem) {
  EXPECT_EQ(said_of("command: t ${{inputs.a}}\n"
                    "environment: {variables: {B: '${{outputs.b}}', C: '${{parent.inputs.c}}'}}\n"),
            "2:12: command: there is no input \"a\"\n"
            "3:31: environment.variables.B: there is no output \"b\"\n"
            "3:52: environment.variables.C: ${{parent.inputs.c}} is a value of the pipeline that "
            "this job is a step of\n");
}

TEST(CheckReferences, RefusesThemWhereNothingFillsThemIn) {
  EXPECT_EQ(said_of("command: t\noutputs: {model: {path: '/models/${{name}}'}}\n"),
            "3:25: outputs.model.path: ${{name}} is neither an input nor an output\n");
  EXPECT_EQ(said_of("command: t\noutputs: {model: {path: '/models/${{inputs.lr}}'}}\n"),
            "3:25: outputs.model.path: ${{…}} is filled in only in commands, arguments and "
            "variables\n");
  const std::string said = problems_of("command: t\ninputs: {lr: '${{search_space.lr}}'}\n");
  EXPECT_NE(said.find("inputs.lr: ${{search_space.lr}} is a value that a sweep job chooses"),
            std::string::npos)
      << said;
}

}  // namespace
}  // namespace muster::config
