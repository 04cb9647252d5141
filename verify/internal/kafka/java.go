package kafka

import (
	"context"
	_ "embed" // the logs' configurations
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/seed3893aba4/surestart/verify/internal/tools"
)

// The logging configurations are files in the cluster's directory.
const (
	serverLog = "log4j2.xml"
	toolsLog  = "log4j2-tools.xml"
)

var (
	//go:embed log4j2.xml
	serverLogText string
	//go:embed log4j2-tools.xml
	toolsLogText string
)

// java is how to run Kafka's programs.
type java struct {
	command, classpath string
	options            []string
}

// java finds Java and Kafka's jars, and installs what is missing. KAFKA_LIB names the directory of
// jars that were found and verified before; the oldest Kafka has other jars.
func (c *Cluster) java(ctx context.Context, oldest bool) (*java, error) {
	lib, jars := os.Getenv("KAFKA_LIB"), tools.Kafka
	if oldest {
		lib, jars = "", tools.Oldest
	}
	if lib == "" {
		var err error
		if lib, err = jars.Get(ctx, c.log); err != nil {
			return nil, err
		}
	}
	command, err := exec.LookPath("java")
	if err != nil {
		return nil, err
	}
	j := &java{command: command, classpath: filepath.Join(lib, "*"), options: []string{"-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true"}}
	if c.training != "" {
		j.options = append(j.options, c.training)
		return j, nil
	}
	if oldest {
		return j, nil
	}
	archived, err := tools.Archive(ctx, c.log, "kafka", j.classpath, func(option string) error { return train(ctx, option) })
	j.options = append(j.options, archived...)
	return j, err
}

// train starts and stops a broker, in a directory of its own, with an option for its JVM.
func train(ctx context.Context, option string) (err error) {
	dir, err := os.MkdirTemp("", "surestart-kafka")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	c := &Cluster{dir: filepath.Join(dir, "broker"), log: io.Discard, training: option}
	defer func() { err = errors.Join(err, c.Stop(context.WithoutCancel(ctx))) }()
	if _, err := c.Start(ctx, Options{}); err != nil {
		return err
	}
	return c.StopNode(ctx, 1)
}

// tool returns a command for one of Kafka's own command line tools.
func (c *Cluster) tool(ctx context.Context, j *java, class string, args ...string) *exec.Cmd {
	argv := append([]string{"-Xmx256m"}, j.options...)
	argv = append(argv, "-Dlog4j2.configurationFile="+c.file(toolsLog), "-cp", j.classpath, class)
	return exec.CommandContext(ctx, j.command, append(argv, args...)...)
}

// ask returns a command for a tool that asks the running cluster.
func (c *Cluster) ask(ctx context.Context, class string, args ...string) (*exec.Cmd, error) {
	at, err := c.Status()
	if err != nil {
		return nil, err
	}
	if c.oldest() {
		return nil, errors.New("the oldest Kafka is not for Kafka's own tools")
	}
	j, err := c.java(ctx, false)
	if err != nil {
		return nil, err
	}
	return c.tool(ctx, j, "org.apache.kafka.tools."+class, append([]string{"--bootstrap-server", at}, args...)...), nil
}
