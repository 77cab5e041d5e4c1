#include "launcher/plan/references.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launcher/plan/run_command.h"
#include "tests/support/plan_samples.h"

namespace muster::plan {
namespace {

using ::testing::ElementsAre;

const config::ReferenceValues kValues{
    {{"digits", "/tmp/muster-0-1f/data/digits"}, {"lr", "1.0"}, {"unset", std::nullopt}},
    {{"model", "/tmp/muster-0-1f/data/model"}}};

config::RunConfig filled(const config::RunConfig& config) {
  auto result = with_references(config, kValues);
  EXPECT_TRUE(result) << result.error().message;
  return result ? *result : config;
}

config::RunConfig command_config(const std::string& text) {
  config::RunConfig config = script_config(1, config::Backend::kNone);
  config.script_params.clear();
  config.run.value = config::ShellCommand{text};
  return config;
}

config::DataBinding value(const std::string& name, const std::string& text) {
  config::DataBinding binding;
  binding.name = name;
  binding.literal = config::Setting<std::string>{text, {}};
  return binding;
}

TEST(References, AreFilledInCommands) {
  const auto config = filled(
      command_config("t --lr ${{inputs.lr}} --d ${{inputs.digits}}/a $[[--x ${{inputs.unset}}]] "
                     "${{outputs.model}}"));
  EXPECT_EQ(rank_argv(config).back(),
            "t --lr 1.0 --d /tmp/muster-0-1f/data/digits/a  /tmp/muster-0-1f/data/model");
}

TEST(References, AreFilledInArgumentsAndVariables) {
  config::RunConfig config = script_config(1, config::Backend::kNone);
  config.script_params = {
      {config::ScriptParam{"--lr", "${{inputs.lr}}", {"${{ inputs.lr }}", "2"}}, {}}};
  config.arguments = {{"--data=${{inputs.digits}}", {}}};
  config.environment_variables = {{"MODEL", {"${{outputs.model}}/m.pt", {}}}};
  config = filled(config);
  EXPECT_THAT(rank_argv(config), ElementsAre("python3", "train.py", "--lr", "1.0", "1.0", "2",
                                             "--data=/tmp/muster-0-1f/data/digits"));
  EXPECT_EQ(config.environment_variables[0].second.value, "/tmp/muster-0-1f/data/model/m.pt");
}

TEST(References, ThatCannotBeFilledInAreAnError) {
  config::RunConfig config = script_config(1, config::Backend::kNone);
  config.arguments = {
      {"${{inputs.digit}}", from_line(3, 12, "arguments: [\"${{inputs.digit}}\"]")}};
  const auto result = with_references(config, kValues);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kConfig);
  EXPECT_EQ(result.error().message, "there is no input \"digit\"");
  EXPECT_EQ(result.error().hint, "did you mean \"digits\"?");
  EXPECT_EQ(result.error().location->line, 3);
}

TEST(References, StandInThePlan) {
  config::RunConfig config = command_config("t ${{inputs.lr}}");
  config.inputs = {value("lr", "0.5")};
  config.environment_variables = {{"LR", {"<${{inputs.lr}}>", {}}}};
  const PlanInputs inputs = inputs_for(machine("laptop-4c8t"));
  auto plan = make_plan(config, inputs);
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(plan->argv.back(), "t 0.5");
  set_start_values(*plan, config, {});
  EXPECT_EQ(plan->argv.back(), "t 0.5");
}

}  // namespace
}  // namespace muster::plan
