package kafka

import (
	"context"
	"crypto/sha256"
	_ "embed" // the logs' configurations
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/seed3893aba4/surestart/verify/internal/filelock"
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
		j.options = append(j.options, "-XX:ArchiveClassesAtExit="+c.training)
		return j, nil
	}
	if oldest {
		return j, nil
	}
	archive, err := c.archive(ctx, j)
	if err != nil {
		return nil, err
	}
	if archive != "" {
		j.options = append(j.options, "-XX:SharedArchiveFile="+archive, "-Xlog:disable", "-Xlog:all=error:stderr")
	}
	return j, nil
}

// archive returns the JVM's archive of Kafka's classes, which halves the work of a start. It is
// made once on a machine, by a broker that starts and stops. Without the archive everything works,
// more slowly. The JVM ignores an archive that fits neither it nor the jars.
func (c *Cluster) archive(ctx context.Context, j *java) (file string, err error) {
	cache, err := tools.Cache()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(cache, 0o777); err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(j.classpath + " " + j.command))
	file = filepath.Join(cache, "kafka-"+hex.EncodeToString(sum[:])[:12]+".jsa")
	there := func() bool {
		info, err := os.Stat(file)
		return err == nil && info.Size() > 0
	}
	if there() {
		return file, nil
	}
	unlock, err := filelock.Lock(ctx, file+".lock", nil)
	if err != nil {
		return "", err
	}
	defer unlock()
	if there() { // made by another run meanwhile
		return file, nil
	}
	c.say("preparing an archive of Kafka's classes, once (about 15 s)")
	switch err := train(ctx, cache, file); {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case err != nil:
		c.say("no archive: %v", err)
		return "", nil
	}
	return file, nil
}

func train(ctx context.Context, cache, file string) (err error) {
	dir, err := os.MkdirTemp(cache, "training.*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var log strings.Builder
	c := &Cluster{dir: filepath.Join(dir, "broker"), log: &log, training: filepath.Join(dir, "classes.jsa")}
	defer func() { err = errors.Join(err, c.Stop(context.WithoutCancel(ctx))) }()
	if _, err := c.Start(ctx, Options{}); err != nil {
		return err
	}
	if err := c.StopNode(ctx, 1); err != nil {
		return err
	}
	return os.Rename(c.training, file)
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
