#include "collector/metrics/patterns.h"

#include <cmath>

#include <gmock/gmock.h>

namespace muster::metrics {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<Sample> apply(const PatternSpec& spec, std::string_view line) {
  auto patterns = Patterns::compile(std::array{spec});
  EXPECT_TRUE(patterns) << patterns.error().message;
  std::vector<Sample> samples;
  patterns->apply(line, samples);
  return samples;
}

std::vector<Sample> preset(std::string_view name, std::string_view line) {
  return apply(find_preset(name)->spec, line);
}

Sample sample(std::string name, double value, std::optional<std::int64_t> step = std::nullopt) {
  return {std::move(name), value, step, std::nullopt, ""};
}

TEST(Patterns, TakeTheNumberOfTheirGroup) {
  const PatternSpec spec{"loss", "loss[=:] *([0-9.eE+-]+)"};
  EXPECT_THAT(apply(spec, "step 3 loss: 0.25 val_loss: 3"), ElementsAre(sample("loss", 0.25)));
  EXPECT_THAT(apply(spec, "no such thing"), IsEmpty());
  EXPECT_THAT(apply(spec, "loss=..."), IsEmpty());
  EXPECT_THAT(apply({"loss", "loss=([^ ]+)"}, "loss=nan").size(), 1U);
}

TEST(Patterns, TakeTheStepOfTheirOwnExpression) {
  EXPECT_THAT(apply({"loss", "loss=([0-9.]+)", "step ([0-9]+)"}, "step 12 loss=0.5"),
              ElementsAre(sample("loss", 0.5, 12)));
  EXPECT_THAT(apply({"loss", "loss=([0-9.]+)", "step ([0-9]+)"}, "loss=0.5"),
              ElementsAre(sample("loss", 0.5)));
}

TEST(Patterns, KnowWhatFrameworksPrint) {
  EXPECT_THAT(preset("huggingface", "{'loss': 0.5, 'learning_rate': 5e-05, 'epoch': 1.0}"),
              ElementsAre(sample("loss", 0.5), sample("learning_rate", 5e-5), sample("epoch", 1)));
  EXPECT_THAT(preset("huggingface", "it's 'loss': 0.5"), IsEmpty());
  EXPECT_THAT(
      preset("lightning", "Epoch 0:  50%|###  | 50/100 [00:01<00:01, 30.1it/s, v_num=0, loss=0.5]"),
      ElementsAre(sample("v_num", 0), sample("loss", 0.5)));
  EXPECT_THAT(preset("megatron",
                     " iteration      100/  500 | consumed samples: 800 | elapsed time per "
                     "iteration (ms): 256.1 | learning rate: 1.5E-04 | lm loss: nan | "),
              testing::SizeIs(4));
  EXPECT_THAT(preset("megatron", " iteration 100/ 500 | lm loss: 7.29E+00 | loss scale: 1.0 |"),
              ElementsAre(sample("lm loss", 7.29, 100), sample("loss scale", 1, 100)));
  EXPECT_THAT(
      preset("key=value", "step=3 loss=0.5, acc=.9 (lr=1e-3) v=1.2.3 x=y"),
      ElementsAre(sample("step", 3), sample("loss", 0.5), sample("acc", 0.9), sample("lr", 1e-3)));
}

TEST(Patterns, ReadsThemFromTheCommandLine) {
  EXPECT_EQ(*read_pattern("loss=l=([0-9]+)"), (PatternSpec{"loss", "l=([0-9]+)"}));
  EXPECT_EQ(read_pattern("megatron")->step, "iteration +([0-9]+)/");
  EXPECT_THAT(read_pattern("loss").error().hint, HasSubstr("huggingface"));
  EXPECT_FALSE(read_pattern("=x"));
  EXPECT_FALSE(read_pattern("x="));
}

TEST(Patterns, SaysWhatIsWrongWithOne) {
  const auto error_of = [](const PatternSpec& spec) {
    const auto patterns = Patterns::compile(std::array{spec});
    return patterns ? Error{} : patterns.error();
  };
  EXPECT_THAT(error_of({"loss", "loss=([0-9"}).message, HasSubstr("no regular expression"));
  EXPECT_THAT(error_of({"loss", "(?=x)(y)"}).hint, HasSubstr("look-ahead"));
  EXPECT_THAT(error_of({"loss", "loss"}).message, HasSubstr("0 groups"));
  EXPECT_THAT(error_of({"loss", "(a)(b)"}).message, HasSubstr("2 groups"));
  EXPECT_THAT(error_of({"loss", "(a)", "step"}).message, HasSubstr("0 groups"));
  EXPECT_THAT(error_of({"", "(a)"}).message, HasSubstr("needs two"));
  EXPECT_THAT(error_of({"loss", std::string(501, 'x')}).message, HasSubstr("500"));
}

TEST(Patterns, KeysTellThemApart) {
  const auto key_of = [](const PatternSpec& spec) {
    return Patterns::compile(std::array{spec})->key();
  };
  EXPECT_EQ(key_of({"a", "(x)"}), key_of({"a", "(x)"}));
  EXPECT_NE(key_of({"a", "(x)"}), key_of({"b", "(x)"}));
  EXPECT_NE(key_of({"a", "(x)"}), key_of({"a", "(x)", "(y)"}));
}

}  // namespace
}  // namespace muster::metrics
