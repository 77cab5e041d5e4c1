#include "collector/catalogue/catalogue.h"

#include <unistd.h>

#include "tests/support/scratch.h"

namespace muster::catalogue {
namespace {

namespace fs = std::filesystem;

class CatalogueTest : public test::ScratchTest {
 protected:
  fs::path file() const { return catalogue_file(scratch()); }

  static Entry entry(std::int64_t number) {
    return {{number, static_cast<std::uint64_t>(number) + 1, 3}, "2026", "{\"n\": \"\xc3\xa9\"}"};
  }
};

TEST_F(CatalogueTest, RemembersReplacesAndForgets) {
  {
    Catalogue catalogue(scratch());
    ASSERT_TRUE(catalogue.is_open());
    EXPECT_TRUE(catalogue.read().empty());
    catalogue.update({{"a", entry(1)}, {"b", entry(2)}}, {});
    catalogue.update({{"b", entry(5)}, {"c", entry(-3)}}, {"a", "never was"});
  }
  Catalogue again(scratch());
  const Entries entries = again.read();
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries.at("b").mark, entry(5).mark);
  EXPECT_EQ(entries.at("c").mark.mtime_ns, -3);
  EXPECT_EQ(entries.at("c").summary, entry(1).summary);
}

TEST_F(CatalogueTest, TwoMayHaveItAtOnce) {
  Catalogue one(scratch());
  Catalogue two(scratch());
  one.update({{"a", entry(1)}}, {});
  two.update({{"b", entry(1)}}, {});
  EXPECT_EQ(one.read().size(), 2u);
}

TEST_F(CatalogueTest, ADamagedOneIsMadeAnew) {
  for (const std::string& text : {std::string("no database at all, but long enough to look at"),
                                  std::string(8192, '\0'), std::string()}) {
    write(file().filename().string(), text);
    Catalogue catalogue(scratch());
    EXPECT_TRUE(catalogue.read().empty());
    catalogue.update({{"a", entry(1)}}, {});
    EXPECT_EQ(Catalogue(scratch()).read().size(), 1u);
  }
}

TEST_F(CatalogueTest, WhereItCannotBeHadThereIsNone) {
  EXPECT_FALSE(Catalogue(scratch() / "missing").is_open());
  // A link would lead somewhere else.
  fs::create_symlink(write("elsewhere", ""), file());
  Catalogue linked(scratch());
  EXPECT_FALSE(linked.is_open());
  linked.update({{"a", entry(1)}}, {"b"});
  EXPECT_TRUE(linked.read().empty());
  EXPECT_EQ(fs::file_size(scratch() / "elsewhere"), 0u);
}

TEST_F(CatalogueTest, IsNotWrittenInADirectoryThatMayNotBe) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  fs::permissions(scratch(), fs::perms::owner_read | fs::perms::owner_exec);
  Catalogue catalogue(scratch());
  EXPECT_TRUE(catalogue.read().empty());
  fs::permissions(scratch(), fs::perms::owner_all);
}

}  // namespace
}  // namespace muster::catalogue
