package main

import (
	"flag"
	"fmt"
	"strings"
)

var completionCommand = command{
	name: "completion", args: " bash|zsh|fish",
	about: "prints a script that completes commands and flags in a shell",
	help: `
Prints a script that completes commands and flags. To load it in each shell:

  bash  source <(surestart completion bash)             in ~/.bashrc
  zsh   source <(surestart completion zsh)              in ~/.zshrc, after compinit
  fish  surestart completion fish | source              in ~/.config/fish/config.fish`,
	prepare: prepareCompletion,
}

func prepareCompletion(*flag.FlagSet) func(*world, []string) error {
	return func(w *world, args []string) error {
		if len(args) != 1 {
			return usagef("want the name of one shell: bash, zsh or fish")
		}
		script, ok := map[string]func() string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}[args[0]]
		if !ok {
			return usagef("there is no completion for %q: want bash, zsh or fish", args[0])
		}
		fmt.Fprint(w.out, script())
		return nil
	}
}

// eachFlag calls f with the flags of a command, in order. arg is the name of the flag's argument,
// "" if it has none.
func eachFlag(c command, f func(name, arg, usage string)) {
	flags := newFlags(c)
	c.prepare(flags)
	flags.VisitAll(func(one *flag.Flag) {
		arg, usage := flag.UnquoteUsage(one)
		f(one.Name, arg, usage)
	})
}

func bashCompletion() string {
	var b strings.Builder
	var names []string
	for _, c := range commands {
		names = append(names, c.name)
		var flags, values []string
		eachFlag(c, func(name, arg, _ string) {
			flags = append(flags, "-"+name)
			if arg != "" {
				values = append(values, "-"+name)
			}
		})
		fmt.Fprintf(&b, "    %s) flags='%s' values=' %s ' ;;\n", c.name, strings.Join(flags, " "), strings.Join(values, " "))
	}
	return `_surestart() {
  local cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} flags= values=
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W '` + strings.Join(names, " ") + ` help version' -- "$cur"))
    return
  fi
  case ${COMP_WORDS[1]} in
` + b.String() + `    help) flags='` + strings.Join(names, " ") + `' ;;
    completion) flags='bash zsh fish' ;;
  esac
  if [[ $values == *" $before "* || $cur != -* && ${COMP_WORDS[1]} != help ]]; then
    return # a value, or a file
  fi
  COMPREPLY=($(compgen -W "$flags" -- "$cur"))
}
complete -o default -F _surestart surestart
`
}

// quote returns text between single quotes, as shells read it.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

func zshCompletion() string {
	var list, cases strings.Builder
	plain := strings.NewReplacer("[", "(", "]", ")", ":", `\:`)
	for _, c := range commands {
		fmt.Fprintf(&list, "    %s\n", quote(c.name+":"+plain.Replace(c.about)))
		fmt.Fprintf(&cases, "    %s) _arguments", c.name)
		eachFlag(c, func(name, arg, usage string) {
			spec := "-" + name + "[" + plain.Replace(usage) + "]"
			if arg != "" {
				spec += ":" + plain.Replace(arg) + ":_files"
			}
			fmt.Fprintf(&cases, " \\\n      %s", quote(spec))
		})
		cases.WriteString(" \\\n      '*:file:_files' ;;\n")
	}
	return "#compdef surestart\n_surestart() {\n  local -a commands=(\n" + list.String() + `  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  shift words; (( CURRENT-- ))
  case $words[1] in
` + cases.String() + `    help) _describe command commands ;;
  esac
}
compdef _surestart surestart
`
}

func fishCompletion() string {
	var b strings.Builder
	for _, c := range commands {
		fmt.Fprintf(&b, "complete -c surestart -f -n __fish_use_subcommand -a %s -d %s\n", c.name, quote(c.about))
		eachFlag(c, func(name, arg, usage string) {
			fmt.Fprintf(&b, "complete -c surestart -n '__fish_seen_subcommand_from %s' -o %s -d %s", c.name, name, quote(usage))
			if arg != "" {
				b.WriteString(" -r")
			}
			b.WriteString("\n")
		})
	}
	return b.String()
}
