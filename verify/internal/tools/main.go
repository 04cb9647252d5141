package tools

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed3893aba4/surestart/verify/internal/cli"
)

const usage = `The tools that the checks need beside Go: found, or installed, pinned and verified.

  ./check tools java         a JRE, 17 or newer; its command
  ./check tools maven        Maven; its command
  ./check tools cc           a C compiler that links, for go test -race; its command
  ./check tools python       Python with venv; its command
  ./check tools venv FILE    a virtualenv with what FILE pins; the command of its Python
  ./check tools chromium     a Chromium, to look at pages with; its command
  ./check tools postgres     the directory of PostgreSQL's programs; nothing where there is none and none can be installed
  ./check tools prometheus   a Prometheus; its command
  ./check tools tlc          TLC's jar
  ./check tools kafka        the directory of Apache Kafka's jars
  ./check tools oldest       the directory of those of the oldest Apache Kafka that is supported
  ./check tools env          TLC and Kafka, as lines for a shell's eval: export TLC_JAR=... KAFKA_LIB=...
  ./check tools plan         what is still to be downloaded; downloads nothing
  ./check tools pin          rewrites the files SHA256SUMS from a fresh download, after a change of a pom.xml

Each prints where the tool is. What is missing is installed by apt-get, as root on Debian, or fetched with Maven into
the cache, ${SURESTART_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/surestart}. Two runs at once are safe.
`

var byName = map[string]*Tool{"java": Java, "maven": Maven, "cc": CC, "python": Python, "chromium": Chromium,
	"postgres": Postgres, "prometheus": Prometheus, "tlc": TLC, "kafka": Kafka, "oldest": Oldest}

// Main runs ./check tools. It writes results to standard output, and messages for a person to
// standard error.
func Main(ctx context.Context, root string, args []string) error {
	return command(ctx, root, args, os.Stdout, os.Stderr)
}

func command(ctx context.Context, root string, args []string, out, log io.Writer) error {
	if len(args) == 0 || len(args) > 1 && args[0] != "venv" || len(args) != 2 && args[0] == "venv" {
		return cli.Usage(usage)
	}
	var text string
	var err error
	switch name := args[0]; name {
	case "venv":
		text, err = Venv(ctx, log, args[1])
	case "env":
		text, err = env(ctx, log)
	case "plan":
		text = Plan(ctx)
	case "pin":
		err = Pin(ctx, log, filepath.Join(root, "verify", "internal", "tools", "SHA256SUMS"))
	default:
		t := byName[name]
		if t == nil {
			return cli.Usage(usage)
		}
		if text, err = t.Get(ctx, log); t == Postgres && errors.Is(err, ErrMissing) {
			say(log, "%v", err)
			return nil
		}
	}
	if err == nil && text != "" {
		fmt.Fprintln(out, text)
	}
	return err
}

func env(ctx context.Context, log io.Writer) (string, error) {
	tlc, err := TLC.Get(ctx, log)
	if err != nil {
		return "", err
	}
	kafka, err := Kafka.Get(ctx, log)
	if err != nil {
		return "", err
	}
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
	return fmt.Sprintf("export TLC_JAR=%s\nexport KAFKA_LIB=%s", quote(tlc), quote(kafka)), nil
}
