// Command surestart shows on a broker what the library does, and sends lines to Kafka with it.
//
//	surestart demo       runs a Kafka producer through a storm, beside a naive one
//	surestart produce    sends lines to a topic
//	surestart consume    prints the messages of a topic
//	surestart doctor     goes through a producer's start part by part
//	surestart broker     runs an embedded broker, to try things on
//	surestart verify     runs the checks of the code against its specification, and reports
//	surestart graph      draws the state machine, the algorithm, or a call
//	surestart replay     draws a recording of a lifecycle, and checks it
//	surestart completion prints a script for a shell that completes commands and flags
//
// surestart help COMMAND says more. The exit status is 0 if everything is in order, 1 if something
// failed, and 2 for a wrong command line.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/seed3893aba4/surestart/internal/oneline"
	"github.com/seed3893aba4/surestart/internal/terminal"
)

const (
	exitOK    = 0
	exitFail  = 1
	exitUsage = 2
)

// world is the part of its environment that a command may use.
type world struct {
	in      io.Reader
	out     io.Writer
	err     io.Writer
	getenv  func(string) string
	signals func() <-chan os.Signal // a command that does not call it is ended by a signal, as usual

	terminal bool // out is one; run sets it
}

// An output is standard output. It remembers the first error of a Write.
type output struct {
	to  io.Writer
	err error
}

func (o *output) Write(b []byte) (int, error) {
	n, err := o.to.Write(b)
	if o.err == nil {
		o.err = err
	}
	return n, err
}

// interruptible returns a context that a signal ends. A second one ends the process at once, as
// what is being closed may hang.
func (w *world) interruptible() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := w.signals()
	go func() {
		select {
		case <-signals:
			signal.Reset(os.Interrupt, syscall.SIGTERM)
			cancel(errors.New("interrupted"))
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// A command declares its flags and returns the function to run once they are parsed.
type command struct {
	name, args, about, help string
	prepare                 func(*flag.FlagSet) func(w *world, args []string) error
}

var commands []command

func init() { // the help refers to the commands
	commands = []command{demoCommand, produceCommand, consumeCommand, doctorCommand, brokerCommand, verifyCommand, graphCommand, replayCommand, completionCommand}
}

func main() {
	os.Exit(run(os.Args[1:], &world{in: os.Stdin, out: os.Stdout, err: os.Stderr, getenv: os.Getenv, signals: notify}))
}

func notify() <-chan os.Signal {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	return signals
}

// run is the whole program. It returns the exit status. Output that cannot be written is a failure.
func run(args []string, w *world) int {
	out := &output{to: w.out}
	w.out, w.terminal = out, terminal.Is(w.out, w.getenv)
	status := runCommand(args, w)
	if out.err != nil && status != exitUsage {
		fmt.Fprintf(w.err, "surestart: standard output: %s\n", oneLine(out.err))
		return exitFail
	}
	return status
}

func runCommand(args []string, w *world) int {
	if len(args) == 0 {
		usage(w.err)
		return exitUsage
	}
	name, args := args[0], args[1:]
	switch name {
	case "help", "-h", "-help", "--help":
		return help(args, w)
	case "version", "-version", "--version":
		fmt.Fprintln(w.out, version())
		return exitOK
	}
	c, ok := find(name)
	if !ok {
		return report(w, "", usagef("there is no command %q: want %s", name, commandNames()))
	}
	flags := newFlags(c)
	do := c.prepare(flags)
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return help([]string{name}, w)
	case err != nil:
		return report(w, name, usageError{fmt.Errorf("%w (surestart help %s lists the flags)", err, name)})
	}
	if late := lateFlag(flags, args); late != "" {
		return report(w, name, usagef("%s comes after an argument: flags come first; after -- an argument may begin with a dash", late))
	}
	return report(w, name, do(w, flags.Args()))
}

// lateFlag returns the first flag after an argument, which package flag takes for an argument
// too; empty: there is none. args are those that flags has parsed.
func lateFlag(flags *flag.FlagSet, args []string) string {
	first := len(args) - flags.NArg()
	if first > 0 && args[first-1] == "--" {
		return ""
	}
	for _, arg := range args[first:] {
		name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if strings.HasPrefix(arg, "-") && flags.Lookup(name) != nil {
			return arg
		}
	}
	return ""
}

// usageError is the error of a wrong command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errSaid is the error of a failure that the output above has already reported.
var errSaid = errors.New("failed, as said above")

// report prints err in one line, and returns the exit status.
func report(w *world, name string, err error) int {
	if err == nil {
		return exitOK
	}
	if !errors.Is(err, errSaid) {
		fmt.Fprintf(w.err, "%s: %s\n", strings.TrimSpace("surestart "+name), oneLine(err))
	}
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFail
}

// oneLine returns the text of an error on one line, also of several joined errors. It escapes
// characters that do not print, because the text may come from a file or a broker.
func oneLine(err error) string { return oneline.Line(err) }

func newFlags(c command) *flag.FlagSet {
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	return flags
}

func find(name string) (command, bool) {
	for _, c := range commands {
		if c.name == name {
			return c, true
		}
	}
	return command{}, false
}

func commandNames() string {
	var names []string
	for _, c := range commands {
		names = append(names, c.name)
	}
	return strings.Join(names, ", ") + ", help or version"
}

func usage(out io.Writer) {
	fmt.Fprint(out, "surestart shows what the library does, and sends lines to Kafka with it.\n\n")
	for _, c := range commands {
		fmt.Fprintf(out, "  surestart %-10s %s\n", c.name, c.about)
	}
	fmt.Fprint(out, "  surestart help       [COMMAND] its flags; help naive: the source of the naive producer\n")
	fmt.Fprint(out, "  surestart version    the version of this build\n")
	fmt.Fprint(out, "\nBegin with: surestart demo\n")
}

// naiveSource is what the demo runs beside surestart.
//
//go:embed internal/demo/naive/naive.go
var naiveSource string

func help(args []string, w *world) int {
	if len(args) == 0 {
		usage(w.out)
		return exitOK
	}
	if args[0] == "naive" {
		fmt.Fprint(w.out, naiveSource)
		return exitOK
	}
	c, ok := find(args[0])
	if !ok {
		return report(w, "help", usagef("there is no command %q: want %s", args[0], commandNames()))
	}
	flags := newFlags(c)
	c.prepare(flags)
	fmt.Fprintf(w.out, "usage: surestart %s [flags]%s\n\n%s\n\n", c.name, c.args, strings.TrimSpace(c.help))
	flags.SetOutput(w.out)
	flags.PrintDefaults()
	return exitOK
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "surestart (built without module information)"
	}
	text := "surestart " + info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && !strings.Contains(info.Main.Version, s.Value[:min(12, len(s.Value))]) {
			text += " " + s.Value[:min(12, len(s.Value))]
		}
	}
	return text + " " + info.GoVersion
}

// list splits a comma-separated flag.
func list(text string) []string {
	var all []string
	for _, one := range strings.Split(text, ",") {
		if one = strings.TrimSpace(one); one != "" {
			all = append(all, one)
		}
	}
	return all
}
