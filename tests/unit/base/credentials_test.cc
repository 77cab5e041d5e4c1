#include "base/credentials.h"

#include <gtest/gtest.h>

namespace muster {
namespace {

TEST(Credentials, AreLeftOutOfEveryUrl) {
  EXPECT_EQ(
      without_credentials("--index-url https://me:s3cret@host:8080/simple and git+ssh://git@x"),
      "--index-url https://****@host:8080/simple and git+ssh://****@x");
  EXPECT_EQ(without_credentials("https://token@host"), "https://****@host");
  // An @ in a password that nobody has encoded.
  EXPECT_EQ(without_credentials("http://a:b@c@host/x"), "http://****@host/x");
}

TEST(Credentials, AreLeftOutOfQueries) {
  EXPECT_EQ(without_credentials("https://h/c?sv=2020&sig=AbC%3d&se=x"),
            "https://h/c?sv=2020&sig=****&se=x");
  EXPECT_EQ(without_credentials("https://h/c?TOKEN=a#egg=b"), "https://h/c?TOKEN=****#egg=b");
}

TEST(Credentials, OtherTextStaysAsItIs) {
  for (const char* text : {"", "numpy==1.2", "a://", "mail me@host", "https://host/@scope/x?a=b",
                           "pkg @ https://host/a.whl", "://"}) {
    EXPECT_EQ(without_credentials(text), text);
  }
}

}  // namespace
}  // namespace muster
