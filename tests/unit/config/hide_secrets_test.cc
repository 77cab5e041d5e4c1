// What a copy of a config, and a message about one, do not show.

#include "launcher/config/hide_secrets.h"

#include <gmock/gmock.h>

#include "tests/unit/config/config_fixture.h"

namespace muster::config {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(HideSecrets, KeepsTheTextAroundThem) {
  for (const auto& [text, shown] : std::initializer_list<std::pair<const char*, const char*>>{
           {"{\"a\":1,\"password\":\"x,\\\"}y\",\"b\":[2]}",
            "{\"a\":1,\"password\": \"****\",\"b\":[2]}"},
           {"a: {account_key: x, b: 1}\r\n", "a: {account_key: \"****\", b: 1}\r\n"},
           {"accountKey: a,b  \nb: 1\n", "accountKey: \"****\"  \nb: 1\n"},
           {"- Password: |\n    x: 1\n\n    y\n  b: 1\n", "- Password: \"****\"\n  b: 1\n"},
           {"credentials:\n  user: a\n  id: b\nb: 1\n", "credentials: \"****\"\nb: 1\n"},
           {"credentials: {user: {id: 'it''s }'}}\nb: 1\n", "credentials: \"****\"\nb: 1\n"},
           {"token:\n- a\n- b\nb: 1\n", "token: \"****\"\nb: 1\n"},
           {"{\n  \"clientSecret\":\n    \"x\"\n}", "{\n  \"clientSecret\":\n    \"****\"\n}"},
           {"sasToken: 'a\n  b'\nb: 1", "sasToken: \"****\"\nb: 1"},
           {"a: don't {\nHF_TOKEN: x,y\n", "a: don't {\nHF_TOKEN: \"****\"\n"},
           {"command: |\n  if { \"\nsecret: a}b\n", "command: |\n  if { \"\nsecret: \"****\"\n"}}) {
    EXPECT_EQ(without_secret_values(text), shown);
  }
}

TEST(HideSecrets, LeavesWhatIsNone) {
  for (const char* text :
       {"password: null\nb: 1", "{\"password\": \"\", \"token\": null}", "max_tokens: 5\n",
        "# password: x\n", "a: 'password: x'\n", "command: echo password:x\n", "",
        "password:", "tokens: [a]\n", "secret: {}\n"}) {
    EXPECT_EQ(without_secret_values(text), text);
  }
}

TEST(HideSecrets, NoMessageShowsTheirLines) {
  const std::string one_line =
      "{\"script\": \"a.py\", \"framework\": \"Jav\", \"environment\": {\"docker\": "
      "{\"baseImageRegistry\": {\"username\": \"u\", \"password\": \"hunter2\"}}}}";
  EXPECT_THAT(problems_of(one_line), HasSubstr("run.yaml:1:"));
  for (const std::string& text :
       {one_line, std::string("entry_script: a\npassword: [hunter2\n"),
        std::string("entry_script: a\nb: \"{x, 'password': 'hunter2'\nc: [\n"),
        std::string("entry_script: a\npassword:\n  - b: 1\n   hunter2: x\n"),
        std::string("{\"script\": \"a, \"password\": \"hunter2\"}")}) {
    EXPECT_NE(problems_of(text), "") << text;
    EXPECT_THAT(problems_of(text), Not(HasSubstr("hunter2")));
  }
}

}  // namespace
}  // namespace muster::config
