#include "launcher/config/expressions.h"

#include <gtest/gtest.h>

namespace muster::config {
namespace {

const ReferenceValues kValues{
    {{"digits", "/run/data/digits"}, {"lr", "0.10"}, {"epochs", std::nullopt}, {"my-data", "/m"}},
    {{"model", "/run/data/model"}}};

std::string filled(std::string_view text) {
  auto result = substituted(text, kValues);
  return result ? *result : "problem: " + result.error().why;
}

// "offset: why | hint"
std::string problem(std::string_view text) {
  auto result = substituted(text, kValues);
  if (result) return "none: " + *result;
  const auto& [offset, why, hint] = result.error();
  return std::to_string(offset) + ": " + why + " | " + hint;
}

TEST(Expressions, AreReplacedTextForText) {
  EXPECT_EQ(filled("train.py --data ${{inputs.digits}} --out ${{outputs.model}}"),
            "train.py --data /run/data/digits --out /run/data/model");
  EXPECT_EQ(filled("--lr ${{inputs.lr}}"), "--lr 0.10");
  EXPECT_EQ(filled("${{inputs.lr}}${{inputs.lr}}"), "0.100.10");
}

TEST(Expressions, MayHaveBlanksInsideTheirBraces) {
  EXPECT_EQ(filled("${{ inputs.lr }}"), "0.10");
  EXPECT_EQ(filled("${{\n  inputs.lr\t}}"), "0.10");
}

TEST(Expressions, AreFollowedDirectlyBySuffixes) {
  EXPECT_EQ(filled("${{inputs.digits}}/train.csv"), "/run/data/digits/train.csv");
  EXPECT_EQ(filled("\"${{inputs.digits}}\"}"), "\"/run/data/digits\"}");
}

TEST(Expressions, MayNameWhatHasADash) {
  EXPECT_EQ(filled("${{inputs.my-data}}"), "/m");
}

TEST(Expressions, LeaveTheShellsOwnWordsAlone) {
  for (const char* text : {"", "echo $RANK ${RANK} $(hostname)", "if [[ -n $A ]]; then :; fi",
                           "echo $[[1]]", "a: {{b}} }}", "echo $[1+2] ]]", "$[[", "$"}) {
    EXPECT_EQ(filled(text), text);
  }
  EXPECT_EQ(filled("[[ -n $A ]] && echo $[[1]] ${{inputs.lr}}"), "[[ -n $A ]] && echo $[[1]] 0.10");
}

TEST(Expressions, AnEscapedBeginIsText) {
  EXPECT_EQ(filled("a ${{'${{'}}x}} ${{inputs.lr}}"), "a ${{x}} 0.10");
  EXPECT_EQ(filled("$[[ ${{'${{'}}x}} ]]"), "$[[ ${{x}} ]]");
  EXPECT_EQ(filled("$[[ $[[ ${{'${{'}} ]]"), "$[[ $[[ ${{ ]]");
  for (const char* text : {"${{x}}", "${{", "${{inputs.lr}} $[[ ${{'${{'}} ]]", "$[[ ${{ ${{"}) {
    EXPECT_EQ(filled(without_references(text)), text);
  }
}

TEST(OptionalBlocks, StayWithoutTheirBracketsWhenTheInputHasAValue) {
  EXPECT_EQ(filled("a $[[--lr ${{inputs.lr}}]] b"), "a --lr 0.10 b");
  EXPECT_EQ(filled("a $[[ --lr ${{inputs.lr}} ]]b"), "a  --lr 0.10 b");
}

TEST(OptionalBlocks, AreLeftOutWhenItHasNone) {
  EXPECT_EQ(filled("a $[[--epochs ${{inputs.epochs}}]] b"), "a  b");
  EXPECT_EQ(filled("$[[--lr ${{inputs.lr}} --epochs ${{inputs.epochs}}]]."), ".");
}

TEST(OptionalBlocks, MayBeNested) {
  EXPECT_EQ(filled("$[[--lr ${{inputs.lr}} $[[--epochs ${{inputs.epochs}}]]]]."), "--lr 0.10 .");
  EXPECT_EQ(filled("$[[--epochs ${{inputs.epochs}} $[[--lr ${{inputs.lr}}]]]]."), ".");
}

TEST(OptionalBlocks, MayHoldOtherTextInBrackets) {
  EXPECT_EQ(filled("$[[a $[[b]] [1] ${{inputs.lr}}]]"), "a $[[b]] [1] 0.10");
}

TEST(ExpressionProblems, NameWhatIsNotDeclared) {
  EXPECT_EQ(problem("x ${{inputs.digit}}"),
            "2: there is no input \"digit\" | did you mean \"digits\"?");
  EXPECT_EQ(problem("${{outputs.scores}}"),
            "0: there is no output \"scores\" | add it below outputs; there are model");
  EXPECT_EQ(problem("${{inputs.model}}"),
            "0: there is no input \"model\" | it is an output: write ${{outputs.model}}");
  EXPECT_EQ(problem("$[[ ${{inputs.digit}} ]]"),
            "4: there is no input \"digit\" | did you mean \"digits\"?");
  auto nothing = substituted("${{inputs.a}}", {});
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().hint, "add it below inputs");
}

TEST(ExpressionProblems, NameAnInputWithoutAValueOutsideOfABlock) {
  EXPECT_EQ(
      problem("a $[[${{inputs.epochs}}]] ${{inputs.epochs}}"),
      "26: input \"epochs\" has no value | give it one, or put the words that need it between "
      "$[[ and ]]");
}

TEST(ExpressionProblems, NameWhatIsNeverClosed) {
  EXPECT_EQ(problem("a ${{inputs.lr"), "2: \"${{\" is never closed | write }} after the name");
  EXPECT_EQ(problem("${{inputs.lr ${{inputs.lr}}"),
            "0: \"${{\" is never closed | write }} after the name");
  EXPECT_EQ(problem("a $[[ b ${{inputs.lr}}"),
            "2: \"$[[\" is never closed | write ]] after the words that it encloses");
}

TEST(ExpressionProblems, NameWhatOnlyAPipelineOrASweepKnows) {
  EXPECT_EQ(
      problem("--d ${{parent.inputs.d}}"),
      "4: ${{parent.inputs.d}} is a value of the pipeline that this job is a step of | muster "
      "runs one job: write the value itself in its place");
  EXPECT_EQ(problem("${{search_space.lr}}"),
            "0: ${{search_space.lr}} is a value that a sweep job chooses | muster runs one job: "
            "write the value itself in its place");
}

TEST(ExpressionProblems, HaveNoControlCharacters) {
  EXPECT_EQ(problem("${{parent.a\nb}}").find('\n'), std::string::npos);
  EXPECT_EQ(problem("${{search_space.a\x1b[1m}}").find('\x1b'), std::string::npos);
  EXPECT_EQ(problem("${{inputs.a\nb}}").find('\n'), std::string::npos);
}

TEST(ExpressionProblems, NameWhatIsNoReference) {
  const std::string hint = "write ${{inputs.NAME}} or ${{outputs.NAME}}";
  EXPECT_EQ(problem("${{ }}"), "0: \"${{ }}\" names nothing | " + hint);
  EXPECT_EQ(problem("${{lr}}"), "0: ${{lr}} is neither an input nor an output | " + hint);
  EXPECT_EQ(problem("${{input.lr}}"),
            "0: ${{input.lr}} is neither an input nor an output | did you mean ${{inputs.lr}}?");
  EXPECT_EQ(problem("${{inputs.}}"), "0: ${{inputs.}} names nothing | write ${{inputs.NAME}}");
  EXPECT_EQ(problem("${{outputs}}"), "0: ${{outputs}} names nothing | write ${{outputs.NAME}}");
}

TEST(ExpressionProblems, BoundTheDepthOfBlocks) {
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "$[[";
  EXPECT_EQ(problem(deep + "${{inputs.lr}}"), "48: \"$[[\" is nested too deeply | ");
  EXPECT_EQ(filled(deep), deep);
}

}  // namespace
}  // namespace muster::config
