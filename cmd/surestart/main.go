// Command surestart shows what the library does, on a broker, and sends lines to
// Kafka with it.
//
//	surestart demo       a storm over a Kafka producer, and a naive one beside it
//	surestart produce    sends lines to a topic
//	surestart broker     runs an embedded broker, to try things on
//	surestart verify     runs what holds the code to its specification, and reports
//	surestart graph      draws the state machine, the algorithm, or a call
//	surestart replay     draws a recording of a lifecycle, and checks it
//
// surestart help COMMAND says more. The exit status is 0 if all went as promised,
// 1 if not, and 2 if the command line made no sense.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/seed3893aba4/surestart/cmd/surestart/internal/demo/naive"
	"github.com/seed3893aba4/surestart/internal/oneline"
)

const (
	exitOK    = 0
	exitFail  = 1
	exitUsage = 2
)

// world is what a command may touch.
type world struct {
	in      io.Reader
	out     io.Writer
	err     io.Writer
	getenv  func(string) string
	signals <-chan os.Signal
}

// A command declares its flags and returns what runs it once they are parsed.
type command struct {
	name, args, about, help string
	prepare                 func(*flag.FlagSet) func(w *world, args []string) error
}

var commands []command

func init() { // the help refers to the commands
	commands = []command{demoCommand, produceCommand, brokerCommand, verifyCommand, graphCommand, replayCommand}
}

func main() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	os.Exit(run(os.Args[1:], &world{os.Stdin, os.Stdout, os.Stderr, os.Getenv, signals}))
}

// run is the whole program; it returns the exit status.
func run(args []string, w *world) int {
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
		return report(w, "", usageError{fmt.Errorf("there is no command %q: surestart help lists them", name)})
	}
	flags := newFlags(c)
	do := c.prepare(flags)
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return help([]string{name}, w)
	case err != nil:
		return report(w, name, usageError{fmt.Errorf("%w (surestart help %s lists the flags)", err, name)})
	}
	return report(w, name, do(w, flags.Args()))
}

// usageError is a command line that makes no sense.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errSaid is a failure that has been told already.
var errSaid = errors.New("failed, as said above")

// report tells of err in one line, and returns the exit status.
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

// oneLine is the text of an error: of those that were joined, one to a line, all. What
// does not print in it is escaped: it may be a file's, or a broker's.
func oneLine(err error) string { return oneline.Escape(strings.ReplaceAll(err.Error(), "\n", "; ")) }

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

func usage(out io.Writer) {
	fmt.Fprint(out, "surestart: a Kafka producer that starts exactly once, and the proof of it.\n\n")
	for _, c := range commands {
		fmt.Fprintf(out, "  surestart %-9s %s\n", c.name, c.about)
	}
	fmt.Fprint(out, "  surestart help      [COMMAND] its flags; naive: the source of the naive flag\n")
	fmt.Fprint(out, "  surestart version   which build this is\n")
	fmt.Fprint(out, "\nBegin with: surestart demo\n")
}

func help(args []string, w *world) int {
	if len(args) == 0 {
		usage(w.out)
		return exitOK
	}
	if args[0] == "naive" {
		fmt.Fprint(w.out, naive.Source)
		return exitOK
	}
	c, ok := find(args[0])
	if !ok {
		return report(w, "help", usagef("there is no command %q: surestart help lists them", args[0]))
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
