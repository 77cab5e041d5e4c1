#include "launcher/cli/python_facts.h"

#include <gtest/gtest.h>

#include "tests/support/scratch.h"

namespace muster::cli {
namespace {

class PythonFacts : public test::ScratchTest {
 protected:
  PythonFacts() {
    write("usr/bin/python3", "", 0755);
    write("venv/bin/python3", "", 0755);
    write("venv/pyvenv.cfg", "");
  }

  // What is found for a script, with these directories on PATH.
  plan::PythonFacts found(const std::vector<std::string>& on_path,
                          std::map<std::string, std::string> environment = {}) const {
    for (const std::string& each : on_path) {
      environment["PATH"] += (scratch() / each / "bin").string() + ":";
    }
    config::RunConfig config;
    config.run.value = config::EntryScript{"train.py"};
    const auto facts = find_python(config, environment);
    EXPECT_TRUE(facts);
    return facts.value_or(plan::PythonFacts{});
  }
  std::string at(const std::string& name) const { return (scratch() / name).string(); }
};

TEST_F(PythonFacts, AreOfTheFirstPythonOnPath) {
  const auto facts = found({"usr", "venv"});
  EXPECT_EQ(facts.executable, at("usr/bin/python3"));
  EXPECT_EQ(facts.environment + facts.active, "");
}

TEST_F(PythonFacts, NameTheEnvironmentThatIsActive) {
  const auto facts = found({"venv", "usr"}, {{"VIRTUAL_ENV", at("venv")}});
  EXPECT_EQ(facts.executable, at("venv/bin/python3"));
  EXPECT_EQ(facts.environment, at("venv"));
  EXPECT_EQ(facts.known_by, "VIRTUAL_ENV");
  EXPECT_EQ(facts.active, "");
}

TEST_F(PythonFacts, KnowAnEnvironmentByItsFileToo) {
  EXPECT_EQ(found({"venv"}).known_by, "pyvenv.cfg");
}

TEST_F(PythonFacts, SayWhenAnotherEnvironmentIsActive) {
  EXPECT_EQ(found({"usr"}, {{"VIRTUAL_ENV", at("venv")}}).active, "VIRTUAL_ENV=" + at("venv"));
  // A virtual environment inside of a conda one is fine.
  EXPECT_EQ(found({"venv"}, {{"VIRTUAL_ENV", at("venv")}, {"CONDA_PREFIX", at("usr")}}).active, "");
}

TEST_F(PythonFacts, FollowTheConfigsPath) {
  config::RunConfig config;
  config.run.value = config::EntryScript{"train.py"};
  config.environment_variables.push_back({"PATH", {at("venv/bin"), {}}});
  EXPECT_EQ(find_python(config, {{"PATH", at("usr/bin")}})->executable, at("venv/bin/python3"));
}

TEST_F(PythonFacts, NameThePython3ThatThereIsForAPythonThatThereIsNot) {
  config::RunConfig config;
  config.run.value = config::Program{{"python", "train.py"}};
  auto facts = find_python(config, {{"PATH", at("usr/bin")}});
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->executable, "");
  EXPECT_EQ(facts->python3, at("usr/bin/python3"));
  config.run.value = config::ShellCommand{"python train.py | tee log"};
  EXPECT_EQ(find_python(config, {{"PATH", at("usr/bin")}})->python3, at("usr/bin/python3"));
}

TEST_F(PythonFacts, AreNoneForOtherPrograms) {
  config::RunConfig config;
  config.run.value = config::Program{{"pythonic", "python3"}};
  EXPECT_FALSE(find_python(config, {{"PATH", at("usr/bin")}}));
  config.run.value = config::EntryScript{"train.sh"};
  EXPECT_FALSE(find_python(config, {{"PATH", at("usr/bin")}}));
}

}  // namespace
}  // namespace muster::cli
