#include "launcher/python_env/conda_program.h"

#include <gtest/gtest.h>

#include "tests/support/scratch.h"

namespace muster::python_env {
namespace {

using Kind = plan::CondaProgram::Kind;

class CondaProgram : public test::ScratchTest {
 protected:
  std::string program(const std::string& name) const { return write(name, "", 0755).string(); }
};

TEST_F(CondaProgram, IsTheFirstThatIsThere) {
  const std::string bin = (scratch() / "bin").string();
  EXPECT_FALSE(find_conda({{"PATH", bin}}));
  program("bin/conda");
  EXPECT_EQ(find_conda({{"PATH", bin}})->kind, Kind::kConda);
  program("bin/mamba");
  EXPECT_EQ(find_conda({{"PATH", bin}})->kind, Kind::kMamba);
  program("bin/micromamba");
  EXPECT_EQ(find_conda({{"PATH", bin}})->executable, bin + "/micromamba");
  const std::string own = program("own/micromamba-2.0");
  EXPECT_EQ(find_conda({{"PATH", bin}, {"MAMBA_EXE", own}})->executable, own);
  EXPECT_EQ(find_conda({{"PATH", bin}, {"MAMBA_EXE", "/nowhere"}})->executable,
            bin + "/micromamba");
}

}  // namespace
}  // namespace muster::python_env
