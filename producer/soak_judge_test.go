package producer

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
)

// fates are of one writer, message by message.
type fates []fate

// A fate is what a caller was told of a message, and how often it was found.
type fate struct {
	class byte // an index of classes
	found uint8
}

var classes = []error{nil, ErrNotSent, ErrMaybeDelivered, ErrRejected}

// soakValue is the value of a writer's n-th message, which stands at a place of its call.
func soakValue(writer, n, place int) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{byte(writer)}, uint32(n)), byte(place))
}

// A judgement is the number of messages in a log, and what is wrong with it.
type judgement struct {
	told  [4]int // by class
	found int

	lost     int // acknowledged, and not there (D2)
	untrue   int // not sent or rejected, and there (D2)
	twice    int // there again (D3)
	disorder int // behind one that was written later (D4)
	torn     int // not next to the one before it in its call (D4)
	foreign  int // it was not written
}

func (j judgement) good() bool {
	return j.lost+j.untrue+j.twice+j.disorder+j.torn+j.foreign == 0
}

func (j judgement) String() string {
	return fmt.Sprintf("acknowledged=%d not-sent=%d maybe-delivered=%d rejected=%d found=%d lost=%d untrue=%d duplicates=%d out-of-order=%d torn=%d foreign=%d",
		j.told[0], j.told[1], j.told[2], j.told[3], j.found, j.lost, j.untrue, j.twice, j.disorder, j.torn, j.foreign)
}

// judge compares the verdicts that writers got with the log. Each writer makes one call after the
// other, to one partition. read calls each with every message, those of a partition in order.
func judge(tallies []fates, read func(each func(partition int32, value []byte))) (j judgement) {
	type message struct{ writer, n int }
	next := make([]int, len(tallies))
	last := make(map[int32]message)
	read(func(partition int32, value []byte) {
		m := message{int(value[0]), int(binary.BigEndian.Uint32(value[1:]))}
		before := last[partition]
		last[partition] = m
		if m.writer >= len(tallies) || m.n >= len(tallies[m.writer]) {
			j.foreign++
			return
		}
		t := tallies[m.writer]
		if t[m.n].found > 0 {
			t[m.n].found = 2
			j.twice++
			return
		}
		t[m.n].found = 1
		j.found++
		if m.n < next[m.writer] {
			j.disorder++
		} else if place := value[5]; place > 0 && t[m.n-1].found > 0 && before != (message{m.writer, m.n - 1}) {
			j.torn++
		}
		next[m.writer] = max(next[m.writer], m.n+1)
	})
	for _, t := range tallies {
		for _, f := range t {
			j.told[f.class]++
			switch {
			case classes[f.class] == nil && f.found == 0:
				j.lost++
			case (classes[f.class] == ErrNotSent || classes[f.class] == ErrRejected) && f.found > 0:
				j.untrue++
			}
		}
	}
	return j
}

// The judge of the soak finds each mistake: each case is a log that breaks one promise.
func TestSoakJudgeSees(t *testing.T) {
	// The writers are a and b: a's calls have 2 and 1 messages, b's have 2. Their verdicts: +
	// delivered, - not sent, ? maybe delivered, ! rejected.
	for name, c := range map[string]struct {
		told, log string
		want      judgement
	}{
		"all is well":                  {"+++ ++", "a0 a1 b0 b1 a2", judgement{told: [4]int{5}, found: 5}},
		"some failed":                  {"-!+ ??", "b0 a2", judgement{told: [4]int{1, 1, 2, 1}, found: 2}},
		"lost":                         {"+++ ++", "a0 a1 b0 b1", judgement{told: [4]int{5}, found: 4, lost: 1}},
		"not sent, and there":          {"++- ++", "a0 a1 b0 b1 a2", judgement{told: [4]int{4, 1}, found: 5, untrue: 1}},
		"rejected, and there":          {"++! ++", "a0 a1 b0 b1 a2", judgement{told: [4]int{4, 0, 0, 1}, found: 5, untrue: 1}},
		"twice":                        {"+++ ++", "a0 a1 b0 b1 a2 a2", judgement{told: [4]int{5}, found: 5, twice: 1}},
		"three times, a batch":         {"+++ ++", "a0 a1 a0 a1 a0 a1 b0 b1 a2", judgement{told: [4]int{5}, found: 5, twice: 4}},
		"what may have been, twice":    {"+++ ??", "a0 a1 b0 b0 a2", judgement{told: [4]int{3, 0, 2}, found: 4, twice: 1}},
		"out of order":                 {"+++ ++", "a2 a0 a1 b0 b1", judgement{told: [4]int{5}, found: 5, disorder: 2}},
		"what may have been, later":    {"??+ ++", "b0 b1 a2 a0", judgement{told: [4]int{3, 0, 2}, found: 4, disorder: 1}},
		"something within a call":      {"+++ ++", "a0 b0 b1 a1 a2", judgement{told: [4]int{5}, found: 5, torn: 1}},
		"a foreign message":            {"+++ ++", "a0 a1 b0 b1 a2 c0", judgement{told: [4]int{5}, found: 5, foreign: 1}},
		"one that is not written yet":  {"+++ ++", "a0 a1 b0 b1 a2 a3", judgement{told: [4]int{5}, found: 5, foreign: 1}},
		"part of a call, and the rest": {"?++ ++", "a1 b0 b1 a2", judgement{told: [4]int{4, 0, 1}, found: 4}},
	} {
		var tallies []fates
		for told := range strings.FieldsSeq(c.told) {
			var one fates
			for _, r := range told {
				one = append(one, fate{class: byte(strings.IndexRune("+-?!", r))})
			}
			tallies = append(tallies, one)
		}
		got := judge(tallies, func(each func(int32, []byte)) {
			for m := range strings.FieldsSeq(c.log) {
				n := int(m[1] - '0')
				each(0, soakValue(int(m[0]-'a'), n, n%2))
			}
		})
		if got != c.want || got.good() != (c.want.lost+c.want.untrue+c.want.twice+c.want.disorder+c.want.torn+c.want.foreign == 0) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
