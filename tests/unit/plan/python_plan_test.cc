#include "launcher/plan/python_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/plan_samples.h"

namespace muster::plan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class PythonPlans : public ::testing::Test {
 protected:
  PythonPlans() {
    config = script_config(2, config::Backend::kDirect);
    config.python.pip_packages = {{"tinypack", from_line(7, 3, "tinypack")}};
    sources.cache = "/cache/python";
    sources.machine = "x86_64";
    sources.interpreter = InterpreterFacts{"/usr/bin/python3.11", "3.11.2", "cpython-311"};
    sources.interpreter->has_venv = true;
    sources.interpreter->has_ensurepip = true;
    sources.interpreter->pip_version = "23.0.1";
    sources.pip_lines = {"tinypack"};
    sources.working_directory = "/data/digits";
  }

  PythonPlan plan() const {
    auto made = plan_python(config, sources);
    EXPECT_TRUE(made) << made.error().message;
    return made.value_or(PythonPlan{});
  }
  std::string key() const { return plan().key; }
  Error refused() const {
    auto made = plan_python(config, sources);
    EXPECT_FALSE(made);
    return made ? Error{} : made.error();
  }

  config::RunConfig config;
  PythonSources sources;
};

TEST_F(PythonPlans, AreOneForWhatIsTheSame) {
  const std::string first = key();
  EXPECT_THAT(first, testing::MatchesRegex("3\\.11-[0-9a-f]{24}"));
  config.python.pip_packages.front().origin.text = "another file";
  EXPECT_EQ(key(), first);
  sources.made = {first};
  EXPECT_TRUE(plan().made);
}

TEST_F(PythonPlans, AreAnotherForEachThingThatDecides) {
  std::vector<std::string> keys = {key()};
  const auto changed = [&](auto change) {
    const PythonSources before = sources;
    change();
    keys.push_back(key());
    sources = before;
  };
  changed([&] { sources.pip_lines = {"tinypack==1"}; });
  changed([&] { sources.pip_lines = {"tinypack", "other"}; });
  changed([&] { sources.pip_options = {"--pre"}; });
  changed([&] { sources.interpreter->version = "3.11.3"; });
  changed([&] { sources.interpreter->executable = "/opt/python"; });
  changed([&] { sources.interpreter->platform = "cpython-311-arm"; });
  changed([&] { sources.interpreter->distributions = {"numpy-1.dist-info"}; });
  changed([&] { sources.requirement_texts = {{"/r.txt", "a"}}; });
  changed([&] { sources.local_packages = {"/w/a.whl 12 1.5"}; });
  changed([&] { sources.pip_settings = {"pre=1"}; });
  std::sort(keys.begin(), keys.end());
  EXPECT_EQ(std::unique(keys.begin(), keys.end()), keys.end());
}

// Pip's own word order, and tokens, decide nothing.
TEST_F(PythonPlans, DoNotDependOnOrderOrTokens) {
  sources.pip_lines = {"a", "b"};
  sources.pip_options = {"--index-url", "https://me:one@host/simple"};
  const std::string first = key();
  sources.pip_lines = {"b", "a"};
  sources.pip_options = {"--index-url", "https://me:two@host/simple"};
  EXPECT_EQ(key(), first);
}

TEST_F(PythonPlans, KeepCredentialsOffTheCommandLine) {
  sources.pip_options = {"--no-deps", "--index-url", "https://me:s@host/simple",
                         "--extra-index-url=https://t@other/"};
  const PythonPlan planned = plan();
  EXPECT_THAT(planned.pip_options, ElementsAre("--no-deps"));
  EXPECT_THAT(planned.pip_lines, ElementsAre("tinypack", "--index-url https://me:s@host/simple",
                                             "--extra-index-url=https://t@other/"));
  EXPECT_THAT(planned.shown_packages(),
              ElementsAre("tinypack", "--index-url https://****@host/simple",
                          "--extra-index-url=https://****@other/"));
}

TEST_F(PythonPlans, GetTheirPipInTheWayThatTheInterpreterHas) {
  EXPECT_EQ(plan().venv_by, VenvBy::kInheritedPip);
  config.python.system_site_packages.value = false;
  EXPECT_EQ(plan().venv_by, VenvBy::kEnsurepip);
  sources.interpreter->has_ensurepip = false;
  EXPECT_EQ(plan().venv_by, VenvBy::kOuterPip);
  sources.interpreter->pip_version = "20.0";
  sources.interpreter->has_virtualenv = true;
  EXPECT_EQ(plan().venv_by, VenvBy::kVirtualenv);
  sources.interpreter->has_virtualenv = false;
  EXPECT_THAT(refused().hint, HasSubstr("apt-get install python3-venv"));
  EXPECT_EQ(refused().code, ErrorCode::kResources);
}

TEST_F(PythonPlans, AreForTheRanksPathAndArgv) {
  config.environment_variables.push_back({"PATH", {"/own", from_line(9, 1, "PATH: /own")}});
  PlanInputs inputs = inputs_for(machine("laptop-4c8t"));
  inputs.caller_environment["PYTHONHOME"] = "/elsewhere";
  inputs.python_sources = sources;
  const auto made = make_plan(config, inputs);
  ASSERT_TRUE(made) << made.error().message;
  const std::string prefix = "/cache/python/" + key() + "/env";
  EXPECT_EQ(made->argv.front(), prefix + "/bin/python");
  std::map<std::string, std::string> variables;
  for (const auto& each : made->common_environment) variables[each.name] = each.value;
  EXPECT_EQ(variables["PATH"], prefix + "/bin:/own");
  EXPECT_EQ(variables["VIRTUAL_ENV"], prefix);
  EXPECT_EQ(variables.count("PYTHONHOME"), 1U);
  // What the start makes anew keeps it.
  LaunchPlan started = *made;
  set_start_values(started, config, {});
  EXPECT_EQ(started.argv, made->argv);
  for (const auto& each : started.common_environment) {
    if (each.name == "PATH") {
      EXPECT_EQ(each.value, prefix + "/bin:/own");
    }
  }
  EXPECT_EQ(variables["PYTHONHOME"], "");
}

TEST_F(PythonPlans, AreMadeByCondaWhereThereIsOne) {
  config.python.conda_packages = {{"numpy: x\"", {}}};
  config.python.conda_channels = {{"conda-forge", {}}};
  EXPECT_THAT(refused().message, HasSubstr("neither micromamba nor mamba nor conda"));
  sources.conda = CondaProgram{CondaProgram::Kind::kMicromamba, "/opt/micromamba"};
  sources.interpreter.reset();
  const PythonPlan planned = plan();
  EXPECT_EQ(planned.kind, PythonPlan::Kind::kConda);
  EXPECT_EQ(planned.conda_yaml(),
            "name: muster\nchannels:\n  - \"conda-forge\"\ndependencies:\n  - \"numpy: x\\\"\"\n"
            "  - python\n  - pip\n");
}

TEST_F(PythonPlans, TakeCondasNamesFromPipWhereThatIsAsked) {
  config.python.conda_packages_by.value = config::CondaBy::kPip;
  config.python.conda_file.value = "environment.yml";
  sources.conda_file = "/data/environment.yml";
  sources.conda_text = NamedText{"/data/environment.yml",
                                 "channels: [defaults]\ndependencies:\n- python=3.6\n- numpy=1.16\n"
                                 "- cudatoolkit\n- pip:\n  - -r more.txt\n  - other\n"};
  const PythonPlan planned = plan();
  EXPECT_THAT(planned.pip_lines,
              ElementsAre("tinypack", "-r /data/more.txt", "other", "numpy==1.16.*"));
  EXPECT_THAT(planned.warnings, ElementsAre(HasSubstr("\"python=3.6\" is asked for"),
                                            HasSubstr("cudatoolkit is left out")));
  EXPECT_THAT(planned.notes, ElementsAre(HasSubstr("not from defaults")));
}

TEST_F(PythonPlans, LeaveOutTheSdkOfACondaFileThatPipReads) {
  config.python.conda_packages_by.value = config::CondaBy::kPip;
  config.python.conda_file.value = "environment.yml";
  sources.conda_file = "/data/environment.yml";
  sources.conda_text = NamedText{"/data/environment.yml",
                                 "dependencies:\n- conda-forge::azureml-core\n- numpy\n- pip:\n"
                                 "  - azureml-defaults==1.0\n  - AzureML_core[x]\n  - azure\n"};
  const PythonPlan planned = plan();
  EXPECT_THAT(planned.pip_lines, ElementsAre("tinypack", "azure", "numpy"));
  EXPECT_THAT(planned.warnings, testing::IsEmpty());
  EXPECT_THAT(planned.notes,
              testing::IsSupersetOf({HasSubstr("azureml-defaults==1.0 of /data/environment.yml is "
                                               "left out: Azure ML's SDK"),
                                     HasSubstr("AzureML_core[x] of"),
                                     HasSubstr("conda-forge::azureml-core of")}));
}

TEST_F(PythonPlans, RefuseOptionsThatLeadElsewhere) {
  config.python.pip_options = {{"--target=/d", from_line(8, 5, "--target=/d")}};
  EXPECT_EQ(refused().code, ErrorCode::kConfig);
  EXPECT_EQ(refused().location->line, 8);
  config.python.user_managed.value = true;
  EXPECT_EQ(plan().kind, PythonPlan::Kind::kAsIs) << "nothing is installed";
}

TEST_F(PythonPlans, AreNotNeededWhenThePersonManagesThem) {
  config.python.user_managed.value = true;
  sources.interpreter->versions = {{"tinypack", ""}};
  const PythonPlan planned = plan();
  EXPECT_FALSE(planned.needed());
  EXPECT_THAT(planned.warnings, ElementsAre(HasSubstr("tinypack is not installed")));
}

}  // namespace
}  // namespace muster::plan
