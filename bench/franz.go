package main

import (
	"fmt"
	"slices"
	"time"
)

// The producer beside franz-go, whose defaults are a linger of 10 ms and snappy. Each table says
// what was set for both.

// flooded is a duel of many callers with many messages each.
func (b *bench) flooded() duel {
	d := duel{Rounds: 30, Callers: floodCallers, Batch: floodBatch, For: 200 * time.Millisecond, Lone: 20}
	if b.quick {
		d.Rounds, d.Lone = 8, 10
	}
	return d
}

// faster returns, for two clients, the rate of the faster one in each round, and its cost.
func faster(a, b score) (rate, cpu series) {
	for i := range a.PerSecond {
		one := a
		if b.PerSecond[i] > a.PerSecond[i] {
			one = b
		}
		rate, cpu = append(rate, one.PerSecond[i]), append(cpu, one.CPU[i])
	}
	return rate, cpu
}

// steadier returns the series with the lower median. The lower value of each round would be lower than
// either client is: it would have the luck of both.
func steadier(a, b series) series {
	if b.median() < a.median() {
		return b
	}
	return a
}

// against returns a row with the producer beside franz-go, with its linger and with none: messages
// a second, and the ratios to the faster one of each round. It includes Send, if that was measured.
func against(r result) (cells []string, rate, effort series) {
	ours, ten, zero := r.Scores[0], r.Scores[1], r.Scores[2]
	theirs, cpu := faster(ten, zero)
	rate, effort = ours.PerSecond.ratios(theirs), ours.CPU.ratios(cpu)
	cells = []string{number(ten.PerSecond.median() / 1e3), number(zero.PerSecond.median() / 1e3), number(ours.PerSecond.median() / 1e3), rate.String(), effort.String()}
	for _, sent := range r.Scores[3:] {
		cells = append(cells, number(sent.PerSecond.median()/1e3), number(sent.PerSecond.over(theirs)))
	}
	return cells, rate, effort
}

func (b *bench) overFranz(s *section) error {
	k, hole, err := b.kafkaAndHole()
	if err != nil {
		return err
	}
	s.say("Both with their defaults (idempotent, all acknowledgements), except the compression, which is set for both; payloads are random bytes. In one process, in turns, "+
		"%d callers with %d messages a call, %d partitions. franz-go runs twice, with its linger of 10 ms and with none, and × is against the faster one of each round. "+
		"*Send* is a `Send` for each message, and then a wait for all of them. The black hole is kfake that acknowledges and throws away. "+
		"Medians of the rounds (range without the outer tenths); CPU is the process's, which holds the client but not the broker.", floodCallers, floodBatch, partitions)
	t := &table{head: []string{"", "franz-go, 1,000/s", "linger 0, 1,000/s", "surestart, 1,000/s", "×", "CPU ×", "by Send, 1,000/s", "×"}}
	for _, x := range []struct {
		c      *cluster
		size   int
		codec  string
		rate   float64
		effort float64
	}{
		{k, 100, noCompressed, 1.5, 0.5}, {k, 100, "snappy", 1.5, 0.5}, {k, 1024, noCompressed, 1.2, 0.8}, {k, 1024, "snappy", 1.2, 0.8},
		{hole, 100, noCompressed, 0, 0}, {hole, 1024, noCompressed, 0, 0},
	} {
		d := b.flooded()
		d.Names, d.Codecs, d.Size = []string{theProducer, theFranz, franzAtOnce, bySend}, slices.Repeat([]string{x.codec}, 4), x.size
		r, err := x.c.duel(d, partitions)
		if err != nil {
			return err
		}
		cells, rate, effort := against(r)
		name := fmt.Sprintf("%s, %s B, %s", x.c.name, number(float64(x.size)), x.codec)
		t.row(append([]string{name}, cells...)...)
		if x.rate > 0 {
			what := fmt.Sprintf(" over franz-go's, %s B, %s", number(float64(x.size)), x.codec)
			b.least("throughput"+what, rate.median(), x.rate, " ×")
			b.budget("processor time of a message"+what, effort.median(), x.effort, " ×")
		}
	}
	s.show(t)
	return nil
}

// loneOverFranz needs many rounds: a stall of the broker or of the system decides the 99th
// percentile of a round.
func (b *bench) loneOverFranz(s *section) error {
	k, hole, err := b.kafkaAndHole()
	if err != nil {
		return err
	}
	d := b.flooded()
	d.Names, d.Callers, d.Lone, d.Rounds = []string{theProducer, theFranz, franzAtOnce}, 0, 10*d.Lone, 4*d.Rounds
	s.say("Writes of one message of 100 B, one after the other, to %d partitions; else as above. %d rounds in turns, %d writes a round, and p50 and p99 are those of a round; "+
		"× is against the franz-go with the lower one.", partitions, d.Rounds, d.Lone)
	t := &table{head: []string{"ms", "franz-go p50", "p99", "linger 0, p50", "p99", "surestart p50", "p99", "p50 ×", "p99 ×", "allocations", "franz-go's"}}
	for _, x := range []struct {
		c     *cluster
		codec string
	}{{k, noCompressed}, {k, "snappy"}, {hole, noCompressed}} {
		d.Codecs = slices.Repeat([]string{x.codec}, len(d.Names))
		r, err := x.c.duel(d, partitions)
		if err != nil {
			return err
		}
		ours, ten, zero := r.Scores[0], r.Scores[1], r.Scores[2]
		p50, p99 := ours.Lone.ratios(steadier(ten.Lone, zero.Lone)), ours.Late.ratios(steadier(ten.Late, zero.Late))
		t.row(fmt.Sprintf("%s, %s", x.c.name, x.codec), number(ten.Lone.median()), number(ten.Late.median()), number(zero.Lone.median()), number(zero.Late.median()),
			number(ours.Lone.median()), number(ours.Late.median()), p50.String(), p99.String(), number(ours.Allocs.median()), number(min(ten.Allocs.median(), zero.Allocs.median())))
		if x.c == k && x.codec == noCompressed {
			b.budget("a lone write over franz-go's, p50", p50.median(), 1, " ×")
			b.budget("the same, p99", p99.median(), 1, " ×")
			b.budget("allocations of a lone write", ours.Allocs.median(), 12, "")
		}
	}
	s.show(t)
	return nil
}

func (b *bench) overPartitions(s *section) error {
	k, err := b.kafka()
	if err != nil {
		return err
	}
	s.say("%d callers with one message of 100 B a call, on Apache Kafka, no compression; else as above.", floodCallers)
	t := &table{head: []string{"partitions", "franz-go, 1,000/s", "linger 0, 1,000/s", "surestart, 1,000/s", "×", "CPU ×", "by Send, 1,000/s", "×", "connections", "franz-go's"}}
	for _, n := range []int{1, 4, 100, 1000} {
		d := b.flooded()
		d.Names, d.Codecs, d.Size, d.Batch = []string{theProducer, theFranz, franzAtOnce, bySend}, slices.Repeat([]string{noCompressed}, 4), 100, 1
		r, err := k.duel(d, n)
		if err != nil {
			return err
		}
		ours, ten := r.Scores[0], r.Scores[1]
		cells, rate, _ := against(r)
		t.row(slices.Concat([]string{number(float64(n))}, cells, []string{number(float64(ours.Connections)), number(float64(ten.Connections))})...)
		if n == 100 {
			b.least("throughput over franz-go's, 100 partitions, one message a call", rate.median(), 2, " ×")
			b.budget("connections to one broker, and for metadata", float64(ours.Connections), 3, "")
		}
	}
	s.show(t)
	return nil
}

// farAway is added to each round trip.
const farAway = 5 * time.Millisecond

func (b *bench) far(s *section) error {
	k, err := b.kafka()
	if err != nil {
		return err
	}
	s.say("Apache Kafka with %v added to each round trip, inside the process; %d callers with %d messages a call, no compression; else as above.", farAway, floodCallers, floodBatch)
	t := &table{head: []string{"", "franz-go, 1,000/s", "linger 0, 1,000/s", "surestart, 1,000/s", "×", "CPU ×", "lone p50, ms", "franz-go's"}}
	for _, x := range []struct{ size, partitions int }{{100, 1}, {100, 4}, {1024, 4}, {1024, 100}} {
		d := b.flooded()
		d.Names, d.Codecs, d.Size, d.Delay, d.Rounds = []string{theProducer, theFranz, franzAtOnce}, slices.Repeat([]string{noCompressed}, 3), x.size, farAway, d.Rounds/2
		r, err := k.duel(d, x.partitions)
		if err != nil {
			return err
		}
		ours, ten, zero := r.Scores[0], r.Scores[1], r.Scores[2]
		cells, _, _ := against(r)
		name := fmt.Sprintf("%s B, partitions: %d", number(float64(x.size)), x.partitions)
		t.row(slices.Concat([]string{name}, cells, []string{number(ours.Lone.median()), number(min(ten.Lone.median(), zero.Lone.median()))})...)
	}
	s.show(t)
	return nil
}

// compression shows the cost and the gain of each codec.
func (b *bench) compression(s *section) error {
	k, err := b.kafka()
	if err != nil {
		return err
	}
	all := []string{noCompressed, "snappy", "lz4", "zstd", "gzip"}
	s.say("The producer on Apache Kafka with each of the compressions, %d callers with %d messages of 1 KiB a call, in turns; "+
		"× is against none. *JSON* is text with names that repeat and values that do not. Bytes are those of the log, a message.", floodCallers, floodBatch)
	t := &table{head: []string{"", "random, 1,000/s", "×", "CPU ×", "bytes", "JSON, 1,000/s", "×", "CPU ×", "bytes"}}
	rows := make([][]string, len(all))
	for _, text := range []bool{false, true} {
		d := b.flooded()
		d.Names, d.Codecs, d.Size, d.Text, d.Rounds = slices.Repeat([]string{theProducer}, len(all)), all, 1024, text, d.Rounds/2
		r, err := k.duel(d, partitions)
		if err != nil {
			return err
		}
		for i, x := range r.Scores {
			bytes, err := b.logged(k, all[i], text)
			if err != nil {
				return err
			}
			rows[i] = append(rows[i], number(x.PerSecond.median()/1e3), x.PerSecond.ratios(r.Scores[0].PerSecond).String(), number(x.CPU.over(r.Scores[0].CPU)), number(bytes))
		}
	}
	for i, row := range rows {
		t.row(append([]string{all[i]}, row...)...)
	}
	s.show(t)
	return nil
}

// logged returns how many bytes of a log a message takes.
func (b *bench) logged(c *cluster, codec string, text bool) (float64, error) {
	d := duel{Names: []string{theProducer}, Codecs: []string{codec}, Callers: floodCallers, Batch: floodBatch, Size: 1024, Text: text, For: 50 * time.Millisecond, Lone: 1}
	d.Addr = c.addr
	var each float64
	err := c.measured(partitions, func(topic string) (int64, error) {
		d.Topic = topic
		var r result
		if err := child(background, "duel", d, &r); err != nil {
			return 0, err
		}
		size, err := c.size(background, topic)
		each = float64(size) / float64(r.Sent)
		return r.Sent, err
	})
	return each, err
}
