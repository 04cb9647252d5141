//go:build unix

package producer

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// crashEnv makes this test binary the process that is killed: its brokers, the
// topic and the round.
const crashEnv = "SURESTART_CRASH"

// The process is killed at random while it produces. Every message is there that was acknowledged
// and reported to the test. Nothing is there twice, each writer's messages are in order, and a new
// run works at once.
func TestProcessKilled(t *testing.T) {
	if job := os.Getenv(crashEnv); job != "" {
		produceUntilKilled(t, strings.Fields(job))
		return
	}
	b := testbroker.Real(t)
	topic := b.CreateTopic(t, 3)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	const rounds = 8
	acknowledged := make(map[string]bool)
	for round := range rounds {
		after := 0 // acknowledged lines; the first two rounds are killed as they start
		if round > 1 {
			after = 1 + random.IntN(500)
		}
		before := len(acknowledged)
		killedAfter(t, fmt.Sprintf("%s %s %d", strings.Join(b.Addrs, ","), topic, round), after, func(value string) { acknowledged[value] = true })
		if round > 1 && len(acknowledged) == before {
			t.Errorf("round %d: nothing was acknowledged before the process was killed", round)
		}

		p := newProducer(t, b, Config{Topic: topic})
		start(t, p)
		v := fmt.Sprintf("%d-new-run", round)
		if err := p.WriteMessages(bg, message(v)); err != nil {
			t.Errorf("a new run after round %d: %v", round, err)
		}
		acknowledged[v] = true
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	found := make(map[string]int)
	latest := make(map[string][2]int) // by partition, round and writer: the call, and the message in it
	b.ReadEach(t, topic, func(r *kgo.Record) {
		found[string(r.Value)]++
		var round, w int
		var at [2]int
		if n, _ := fmt.Sscanf(string(r.Value), "%d-%d-%d-%d", &round, &w, &at[0], &at[1]); n < 4 {
			return // of a new run
		}
		writer := fmt.Sprint(r.Partition, round, w)
		if last, ok := latest[writer]; ok && slices.Compare(last[:], at[:]) >= 0 {
			t.Errorf("D4 Order: in partition %d %s stands behind %v of its writer", r.Partition, r.Value, last)
		}
		latest[writer] = at
	})
	unknown, duplicates := 0, 0 // sent, and killed before it could be told
	for v, n := range found {
		duplicates += n - 1
		if !acknowledged[v] {
			unknown++
		}
	}
	if duplicates > 0 {
		t.Errorf("D3 Once: %d messages are there again", duplicates)
	}
	for v := range acknowledged {
		if found[v] == 0 {
			t.Errorf("%s was acknowledged and is not there", v)
		}
	}
	t.Logf("CHECKED kafka process-killed kills=%d acknowledged=%d found=%d found-unacknowledged=%d duplicates=%d",
		rounds, len(acknowledged), len(found), unknown, duplicates)
}

// killedAfter runs the process, kills it when it has said so many lines, and hands
// over every word that it said.
func killedAfter(t *testing.T, job string, lines int, each func(string)) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestProcessKilled$")
	cmd.Env = append(os.Environ(), crashEnv+"="+job)
	var said strings.Builder
	cmd.Stderr = &said
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd.ExtraFiles = []*os.File{in}
	err = cmd.Start()
	in.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	watchdog := time.AfterFunc(2*hang, func() { cmd.Process.Kill() })
	defer watchdog.Stop()

	r := bufio.NewReader(out)
	n := 0
	for n < lines {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("the process ended by itself after %d lines: %v\n%s", n, err, said.String())
		}
		for _, v := range strings.Fields(line) {
			each(v)
		}
		n++
	}
	if lines == 0 {
		time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond) // wherever it is by then
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(r) // as far as its last whole line
	for _, v := range strings.Fields(string(rest[:strings.LastIndex("\n"+string(rest), "\n")])) {
		each(v)
	}
}

// produceUntilKilled prints, in a line for each call, what has been acknowledged.
func produceUntilKilled(t *testing.T, job []string) {
	out := os.NewFile(3, "acknowledged")
	p, err := New(Config{Brokers: strings.Split(job[0], ","), Topic: job[1], Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	start(t, p)
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for i := 0; ; i++ {
				msgs := make([]kafka.Message, 1+rand.IntN(20))
				for j := range msgs {
					msgs[j] = message(fmt.Sprintf("%s-%d-%d-%d", job[2], w, i, j))
				}
				var line strings.Builder
				for j, err := range errorsOf(t, p.WriteMessages(bg, msgs...), len(msgs)) {
					if err == nil {
						line.Write(msgs[j].Value)
						line.WriteByte(' ')
					}
				}
				if _, err := io.WriteString(out, line.String()+"\n"); err != nil { // one write: never torn
					return
				}
			}
		})
	}
	writers.Wait()
}
