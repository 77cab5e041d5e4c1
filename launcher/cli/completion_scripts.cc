// One script a shell.  Each asks the muster that is being typed, prints nothing of its own, and
// leaves files and the programs after `--` to the shell.

#include "launcher/cli/complete.h"

namespace muster::cli {
namespace {

constexpr const char* kBash =
    R"sh(# bash completion for muster; `source <(muster completion bash)` loads it.
_muster() {
  local i word typed value prefix line rest= dashes=0
  local -a words=() candidates=()
  # Bash splits words at "=", muster does not.
  for ((i = 1; i <= COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    if ((${#words[@]} > 0)) && [[ $word == "=" || ${words[-1]} == --*= ]]; then
      words[-1]+=$word
    else
      words+=("$word")
    fi
    [[ $word == "--" && $dashes -eq 0 && $i -lt $COMP_CWORD ]] && dashes=$i
  done
  typed=${words[-1]}
  value=$typed
  prefix=
  if [[ $typed == --*=* ]]; then
    value=${typed#*=}
    prefix=${typed%%=*}=
  fi
  while IFS= read -r line; do
    case $line in
      :*) rest=$line ;;
      *) candidates+=("${line%%$'\t'*}") ;;
    esac
  done < <("${COMP_WORDS[0]/#\~/$HOME}" complete -- "${words[@]}" 2>/dev/null)

  case $rest in
    :command)
      if declare -F _command_offset >/dev/null; then
        _command_offset $((dashes + 1))
      else
        compopt -o default 2>/dev/null
        COMPREPLY=()
      fi
      return
      ;;
    :directories)
      compopt -o filenames 2>/dev/null
      while IFS= read -r line; do candidates+=("$prefix$line"); done < <(compgen -d -- "$value")
      ;;
    :files*)
      compopt -o filenames 2>/dev/null
      while IFS= read -r line; do
        if [[ -d $line || $rest == ":files " || " ${rest#:files } " == *" ${line##*.} "* ]]; then
          candidates+=("$prefix$line")
        fi
      done < <(compgen -f -- "$value")
      ;;
  esac
  [[ -n $prefix && $COMP_WORDBREAKS == *=* ]] && candidates=("${candidates[@]#"$prefix"}")
  COMPREPLY=("${candidates[@]}")
}
complete -F _muster muster
)sh";

constexpr const char* kZsh = R"sh(#compdef muster
# zsh completion for muster; `source <(muster completion zsh)` loads it after compinit.
_muster() {
  local line rest text description prefix
  local -a candidates
  integer dashes=${words[(i)--]}
  while IFS= read -r line; do
    case $line in
      :*) rest=$line ;;
      *)
        text=${line%%$'\t'*}
        description=
        [[ $line == *$'\t'* ]] && description=${line#*$'\t'}
        [[ $text == --*=* ]] && text=${text#*=}
        candidates+=("${text//:/\\:}:${description}")
        ;;
    esac
  done < <("${(Q)words[1]/#\~/$HOME}" complete -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)

  if [[ $rest == :command ]]; then
    shift $dashes words
    (( CURRENT -= dashes ))
    _normal
    return
  fi
  [[ $words[CURRENT] == --*=* ]] && compset -P '--*='
  (( $#candidates )) && _describe -V muster candidates
  case $rest in
    :directories) _files -/ ;;
    ":files ") _files ;;
    :files*) _files -g "*.(${(j:|:)${(s: :)rest#:files }})(-.)" ;;
  esac
}
if [[ $funcstack[1] == _muster ]]; then
  _muster "$@"
else
  compdef _muster muster
fi
)sh";

constexpr const char* kFish =
    R"sh(# fish completion for muster; `muster completion fish | source` loads it.
function __muster_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l muster $words[1]
    set -e words[1]
    set -l typed $words[-1]
    set -l prefix ''
    if string match -q -- '--*=*' $typed
        set prefix (string replace -r '=.*' '=' -- $typed)
        set typed (string replace -r '^[^=]*=' '' -- $typed)
    end
    for line in ($muster complete -- $words 2>/dev/null)
        switch $line
            case ':command'
                set -l dashes (contains -i -- '--' $words)
                set -e words[1..$dashes]
                complete -C (string join ' ' -- (string escape -- $words[1..-2]) $words[-1])
            case ':directories'
                printf '%s\n' $prefix(__fish_complete_directories $typed '')
            case ':files*'
                set -l endings (string split -n ' ' -- (string replace ':files' '' -- $line))
                for file in (__fish_complete_path $typed '')
                    set -l name (string split -f1 \t -- $file)
                    set -l ending (string replace -r '.*\.' '' -- $name)
                    if test -z "$endings"; or string match -q '*/' -- $name; or contains -- $ending $endings
                        printf '%s\n' $prefix$name
                    end
                end
            case '*'
                printf '%s\n' $line
        end
    end
end
complete -c muster -f -k -a '(__muster_complete)'
)sh";

}  // namespace

std::string completion_script(std::string_view shell) {
  if (shell == "bash") return kBash;
  if (shell == "zsh") return kZsh;
  if (shell == "fish") return kFish;
  return "";
}

}  // namespace muster::cli
