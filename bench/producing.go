package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// The producer beside other clients, kafka-go's Writer among them, and beside itself with other
// settings.

// kafka returns the broker of this run. The first part that needs it starts it.
func (b *bench) kafka() (*cluster, error) {
	return b.shared(&b.apache, func() (*cluster, error) { return apache(background) })
}

// hole returns the black hole of this run, in the same way.
func (b *bench) hole() (*cluster, error) {
	return b.shared(&b.blackHole, func() (*cluster, error) { return embedded(background, true) })
}

func (b *bench) kafkaAndHole() (k, hole *cluster, err error) {
	if k, err = b.kafka(); err == nil {
		hole, err = b.hole()
	}
	return k, hole, err
}

func (b *bench) shared(c **cluster, start func() (*cluster, error)) (_ *cluster, err error) {
	if *c == nil {
		if *c, err = start(); err == nil {
			(*c).profiles = b.profiles
			b.atEnd = append(b.atEnd, (*c).stop)
		}
	}
	return *c, err
}

func (b *bench) clients(s *section) error {
	k, err := b.kafka()
	if err != nil {
		return err
	}
	f, err := embedded(background, false)
	if err != nil {
		return err
	}
	defer f.stop()
	s.say("Each client in a process of its own, as its documentation shows it, to %d partitions: %d callers with %d messages a call, each waiting for "+
		"its acknowledgements (`acks=all`; kafka-go's default asks for none). Then lone writes, one after the other. CPU is the client's, user and "+
		"system. After each the topic's end offsets were what had been acknowledged. Medians (range without the outer tenths) of the rounds, which go "+
		"through the clients in turns.", partitions, floodCallers, floodBatch)
	for _, c := range []*cluster{k, f} {
		if err := b.clientsOn(s, c); err != nil {
			return err
		}
	}
	return nil
}

const (
	floodCallers = 64
	floodBatch   = 100
)

func (b *bench) clientsOn(s *section, c *cluster) error {
	w := workload{Firsts: 3, Lone: 150, Callers: floodCallers, Batch: floodBatch, For: 700 * time.Millisecond}
	rounds := 4
	if c != b.apache {
		rounds = 2
	}
	if b.quick {
		rounds, w.For, w.Lone = 1, 300*time.Millisecond, 50
	}
	type figures struct{ small, large, p50, p99, cpu, cpuLarge, rss, first, later series }
	all := make([]figures, len(clients))
	var failed error
	sent := int64(0)
	inTurns(rounds, len(clients), func(i int) float64 {
		w := w
		w.Client = clients[i].name
		if w.Client == bareWriter {
			w.Firsts, w.Lone = 1, 2 // a second each
		}
		y, err := c.run(background, w)
		if err != nil {
			failed = err
			return 0
		}
		sent += y.Sent
		x := &all[i]
		x.small, x.large = append(x.small, y.Small.PerSecond/1e3), append(x.large, y.Large.PerSecond/1e3)
		x.cpu, x.cpuLarge = append(x.cpu, y.Small.CPU), append(x.cpuLarge, y.Large.CPU)
		x.p50, x.p99 = append(x.p50, y.P50), append(x.p99, y.P99)
		x.rss = append(x.rss, y.PeakRSS)
		x.first, x.later = append(x.first, series(y.Firsts).median()), append(x.later, series(y.Laters).median())
		return 0
	})
	if failed != nil {
		return failed
	}
	t := &table{head: []string{c.name, "100 B, 1,000/s", "1 KiB, 1,000/s", "CPU µs/msg", "1 KiB", "lone p50, ms", "p99", "first write, ms", "later", "peak RSS, MB"}}
	for i, x := range all {
		t.row(clients[i].name, x.small.String(), x.large.String(), number(x.cpu.median()), number(x.cpuLarge.median()),
			x.p50.String(), number(x.p99.median()), number(x.first.median()), number(x.later.median()), number(x.rss.median()))
	}
	s.show(t)
	s.say("%s messages, all acknowledged and all found.", number(float64(sent)))
	return nil
}

// overWriter measures the Producer beside kafka-go's Writer.
func (b *bench) overWriter(s *section) error {
	k, hole, err := b.kafkaAndHole()
	if err != nil {
		return err
	}
	s.say("The Producer with its defaults, idempotent, and kafka-go's Writer with all acknowledgements and what suits it (%v, %d messages a batch), in one process, in turns; %d callers with %d messages a call. The "+
		"black hole is kfake that acknowledges and throws away, so that the client is what limits. × is Producer over Writer, the median of the "+
		"rounds' ratios (range without the outer tenths); CPU is the process's, which holds client but not broker.", writerLinger, writerBatch, floodCallers, floodBatch)
	t := &table{head: []string{"", "Writer, 1,000/s", "Producer, 1,000/s", "×", "CPU ×", "lone write, Writer, ms", "Producer, ms", "×", "allocations ×"}}
	for _, x := range []struct {
		c    *cluster
		size int
	}{{k, 100}, {k, 1024}, {hole, 100}, {hole, 1024}} {
		d := b.flooded()
		d.Names, d.Size = []string{theProducer, theWriter}, x.size
		r, err := x.c.duel(d, partitions)
		if err != nil {
			return err
		}
		ours, theirs := r.Scores[0], r.Scores[1]
		rate, cpu, late, allocs := ours.PerSecond.ratios(theirs.PerSecond), ours.CPU.ratios(theirs.CPU), ours.Lone.ratios(theirs.Lone), ours.Allocs.ratios(theirs.Allocs)
		t.row(fmt.Sprintf("%s, %s B", x.c.name, number(float64(x.size))), number(theirs.PerSecond.median()/1e3), number(ours.PerSecond.median()/1e3),
			rate.String(), cpu.String(), number(theirs.Lone.median()), number(ours.Lone.median()), late.String(), number(allocs.median()))
		if x.size == 100 {
			where := ", " + x.c.name
			b.budget("processor time of a message over the Writer's, 100 B"+where, cpu.median(), 1.01, " ×")
			if x.c == hole { // a broker on the same processors decides it otherwise
				b.budget("throughput lost over the Writer, 100 B"+where, 100*(1-rate.median()), 1, " %")
			}
			b.budget("a lone write over the Writer's"+where, late.median(), 1.2, " ×")
			b.budget("allocations of a lone write over the Writer's"+where, allocs.median(), 1, " ×")
		}
	}
	s.show(t)
	return nil
}

// tuning shows the curve from which the Producer's defaults are chosen.
func (b *bench) tuning(s *section) error {
	k, err := b.kafka()
	if err != nil {
		return err
	}
	t := tunings{Rounds: 5, For: 150 * time.Millisecond, Callers: floodCallers, Batch: floodBatch, Singles: 64, Lone: 20}
	if b.quick {
		t.Rounds = 2
	}
	for _, linger := range []time.Duration{defaultLinger, time.Millisecond, 5 * time.Millisecond} {
		for _, batch := range []int{1, 16, 64, 256, 1000, defaultBatch} {
			t.Settings = append(t.Settings, tuning{linger, batch})
		}
	}
	all, err := k.tune(t)
	if err != nil {
		return err
	}
	best, ours := 0, 0
	for i, x := range all {
		if x.Bulk.median() > all[best].Bulk.median() {
			best = i
		}
		if t.Settings[i] == (tuning{defaultLinger, defaultBatch}) {
			ours = i
		}
	}
	s.say("Linger × batch size × callers on Apache Kafka, 100 B: messages a second of %d callers with %d messages a call and of %d callers with "+
		"one, a lone write, and what it allocates. **Bold**: the default. Medians of %d "+
		"rounds, in turns.", floodCallers, floodBatch, t.Singles, t.Rounds)
	out := &table{head: []string{"linger, batch size", fmt.Sprintf("%d × %d, 1,000/s", floodCallers, floodBatch), "of the best", fmt.Sprintf("%d × 1, 1,000/s", t.Singles), "lone p50, ms", "B/op, KB"}}
	for i, x := range all {
		out.row(t.Settings[i].String(), number(x.Bulk.median()/1e3), number(x.Bulk.over(all[best].Bulk)), number(x.Singles.median()/1e3), number(x.Lone.median()), number(x.Bytes.median()/1e3))
	}
	s.show(out)

	// The best of many is partly the luckiest. So the first three are measured again, beside the
	// defaults.
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(all[j].Bulk.median(), all[i].Bulk.median()) })
	final := t
	final.Settings = []tuning{{defaultLinger, defaultBatch}}
	for _, i := range order {
		if i != ours && len(final.Settings) < 4 {
			final.Settings = append(final.Settings, t.Settings[i])
		}
	}
	final.Rounds, final.Lone = 4*t.Rounds, 5
	again, err := k.tune(final)
	if err != nil {
		return err
	}
	t2 := &table{head: []string{fmt.Sprintf("%d rounds", final.Rounds), fmt.Sprintf("%d × %d, 1,000/s", floodCallers, floodBatch), "defaults ÷ this"}}
	share := 1.0
	for i, x := range again {
		ratio := again[0].Bulk.ratios(x.Bulk)
		share = min(share, ratio.median())
		t2.row(final.Settings[i].String(), scaled(x.Bulk, 1e-3).String(), ratio.String())
	}
	s.say("The three best of them again, next to the defaults:")
	s.show(t2)
	b.budget("throughput of the best tuning over the defaults'", 1/share, 1/0.95, " ×")
	b.budget("allocated by a lone write with the defaults", all[ours].Bytes.median()/1e3, 48, " KB")
	return nil
}

func scaled(s series, by float64) (all series) {
	for _, v := range s {
		all = append(all, v*by)
	}
	return all
}

// String names a setting, the default in bold.
func (t tuning) String() string {
	name := fmt.Sprintf("%v, %s", t.Linger, number(float64(t.Batch)))
	if t == (tuning{defaultLinger, defaultBatch}) {
		name = "**" + name + "**"
	}
	return name
}

// tune measures settings on a topic of their own, and checks that the topic holds what was
// acknowledged.
func (c *cluster) tune(t tunings) ([]tuned, error) {
	t.Addr = c.addr
	var r tuneResult
	err := c.measured(partitions, func(topic string) (int64, error) {
		t.Topic = topic
		err := child(background, "tune", t, &r)
		return r.Sent, err
	})
	return r.All, err
}

// firsts measures the first write after a start, those that follow, and one after a rest. The only
// difference of the last is that the machine did something else meanwhile.
func (b *bench) firsts(s *section) error {
	k, err := b.kafka()
	if err != nil {
		return err
	}
	rounds, w := 10, workload{Firsts: 8, Lone: 1, Callers: 1, Batch: 1, For: time.Millisecond}
	if b.quick {
		rounds = 3
	}
	names := []string{theProducer, theWriter, theFranz, theSarama}
	first, later, rested := make([]series, len(names)), make([]series, len(names)), make([]series, len(names))
	var inside, insideLater series // of the producer
	var failed error
	inTurns(rounds, len(names), func(i int) float64 {
		w := w
		w.Client = names[i]
		y, err := k.run(background, w)
		if err != nil {
			failed = err
			return 0
		}
		if i == 0 {
			inside, insideLater = append(inside, y.Inside...), append(insideLater, y.InsideLater...)
		}
		first[i], later[i], rested[i] = append(first[i], y.Firsts...), append(later[i], y.Laters...), append(rested[i], y.Rested...)
		return 0
	})
	if failed != nil {
		return failed
	}
	s.say("Opened %d times each on Apache Kafka: the first write, the median of the nine that follow one upon the other, and one more after a rest of %v, "+
		"with the first's ratios to these, each time. Medians (range without the outer tenths).", rounds*w.Firsts, rest)
	t := &table{head: []string{"", "first write, ms", "later, ms", "×", "after a rest, ms", "×"}}
	for i, name := range names {
		t.row(name, first[i].String(), later[i].String(), first[i].ratios(later[i]).String(), rested[i].String(), first[i].ratios(rested[i]).String())
	}
	s.show(t)
	s.say("In the producer itself, before the request is written and after the answer is read, pass %s µs of the first write, and %s µs of a later one. "+
		"The rest is the system's and the broker's.", inside, insideLater)
	b.budget("first write after Start over the later ones", first[0].over(later[0]), 1.2, " ×")
	return nil
}
