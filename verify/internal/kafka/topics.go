package kafka

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
)

// Topic creates a topic.
func (c *Cluster) Topic(ctx context.Context, name string, partitions int) error {
	cmd, err := c.ask(ctx, "TopicCommand", "--create", "--topic", name, "--partitions", strconv.Itoa(partitions))
	if err != nil {
		return err
	}
	return c.run(cmd)
}

var partitionCount = regexp.MustCompile(`PartitionCount: (\d+)`)

// Lead makes a node the leader of every partition of a topic. The node becomes the first of the
// replicas, which are all nodes, and the first one is elected.
func (c *Cluster) Lead(ctx context.Context, topic string, node int) error {
	if err := c.has(node); err != nil {
		return err
	}
	nodes, err := c.nodes()
	if err != nil {
		return err
	}
	replicas := append([]int{node}, slices.DeleteFunc(nodes, func(n int) bool { return n == node })...)
	describe, err := c.ask(ctx, "TopicCommand", "--describe", "--topic", topic)
	if err != nil {
		return err
	}
	describe.Stderr = c.log
	out, err := describe.Output()
	if err != nil {
		return fmt.Errorf("describe the topic %s: %w", topic, err)
	}
	count := partitionCount.FindSubmatch(out)
	if count == nil {
		return fmt.Errorf("describe the topic %s: no PartitionCount in %q", topic, out)
	}
	n, err := strconv.Atoi(string(count[1]))
	if err != nil {
		return err
	}

	type partition struct {
		Topic     string `json:"topic"`
		Partition int    `json:"partition"`
		Replicas  []int  `json:"replicas,omitempty"`
	}
	type partitions struct {
		Version    int         `json:"version,omitempty"`
		Partitions []partition `json:"partitions"`
	}
	assign, elect := partitions{Version: 1}, partitions{}
	for i := range n {
		assign.Partitions = append(assign.Partitions, partition{topic, i, replicas})
		elect.Partitions = append(elect.Partitions, partition{topic, i, nil})
	}
	if err := c.plan(ctx, assign, "reassign.ReassignPartitionsCommand", "--execute", "--reassignment-json-file"); err != nil {
		return err
	}
	return c.plan(ctx, elect, "LeaderElectionCommand", "--election-type", "preferred", "--path-to-json-file")
}

// plan runs a tool whose last argument is a file with a plan.
func (c *Cluster) plan(ctx context.Context, plan any, class string, args ...string) error {
	text, err := json.Marshal(plan)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp("", "surestart-plan")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := f.Write(text); err != nil {
		return err
	}
	cmd, err := c.ask(ctx, class, append(args, f.Name())...)
	if err != nil {
		return err
	}
	return c.run(cmd)
}

// Produce sends lines of the form key<TAB>value, with Kafka's own console producer.
func (c *Cluster) Produce(ctx context.Context, topic string, lines io.Reader) error {
	cmd, err := c.ask(ctx, "ConsoleProducer", "--topic", topic, "--property", "parse.key=true", "--property", "key.separator=\t")
	if err != nil {
		return err
	}
	cmd.Stdin = lines
	return c.run(cmd)
}

// Consume writes the values of the topic's first n messages to out, with Kafka's own console
// consumer. With all, it also writes their time, partition, headers and key.
func (c *Cluster) Consume(ctx context.Context, topic string, n int, all bool, out io.Writer) error {
	args := []string{"--topic", topic, "--from-beginning", "--max-messages", strconv.Itoa(n), "--timeout-ms", "30000"}
	if all {
		for _, what := range []string{"timestamp", "partition", "headers", "key"} {
			args = append(args, "--property", "print."+what+"=true")
		}
	}
	cmd, err := c.ask(ctx, "consumer.ConsoleConsumer", args...)
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = out, c.log
	return cmd.Run()
}

// Ends writes topic:partition:end offset of each partition to out, with Kafka's own tool.
func (c *Cluster) Ends(ctx context.Context, topic string, out io.Writer) error {
	cmd, err := c.ask(ctx, "GetOffsetShell", "--topic", topic)
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = out, c.log
	return cmd.Run()
}

// run runs a tool for its effect. Its output is for a person.
func (c *Cluster) run(cmd *exec.Cmd) error {
	cmd.Stdout, cmd.Stderr = c.log, c.log
	return cmd.Run()
}
