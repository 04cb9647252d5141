package cluster

import (
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/metadata"
)

// A Topic is the metadata of a topic. It is immutable: a newer answer makes a new Topic.
type Topic struct {
	Name string
	// Err is the error of the whole topic in the latest answer, a kafka.Error; nil: it exists.
	Err error
	// Partitions are numbered from 0. They are those of the latest answer that had any.
	Partitions []Partition
}

// A Partition is the leader of a partition.
type Partition struct {
	Leader int32 // a broker whose address is known; -1: none
	Epoch  int32 // of the leader; -1: brokers before Kafka 2.1 do not say
}

// NoLeader is the Leader of a partition that has none.
const NoLeader = -1

// topic is a topic in use. The Cluster's mutex guards it.
type topic struct {
	*Topic              // nil: there was no answer yet
	question  *question // the question under way that names it; nil: none
	wanted    time.Time // when a caller last asked for it
	asked     bool
	missing   time.Duration // the pause before a missing topic is asked for again
	askAgain  time.Time     // the end of that pause
	since     time.Time     // the first of the consecutive answers that say that it is missing
	behindFor time.Time     // when answers with an older leader began; zero: the latest has none
}

// exists reports whether the topic has partitions, or had some in an earlier answer.
func (t *topic) exists() bool { return t.Topic != nil && len(t.Partitions) > 0 }

// inUse is how long a missing topic is asked for after a caller last wanted it.
const inUse = 5 * time.Minute

// askForLocked returns the topics for a question: those in use, except those known to be missing. If
// only callers of Topic wait for it, these are the topics that lack metadata. again is false if the
// question names nothing but topics that were never asked for.
func (c *Cluster) askForLocked(q *question, now time.Time) (names []string, again bool) {
	all := q.amiss || q.now
	again = all
	names = make([]string, 0, len(c.topics)) // not nil: that would ask for all
	for name, t := range c.topics {
		switch {
		case t.asked && !t.exists() && now.Sub(t.wanted) >= inUse:
			delete(c.topics, name)
		case !t.askAgain.After(now) && (all || !t.exists()):
			names = append(names, name)
			again = again || t.asked
			t.asked, t.question = true, q
		}
	}
	slices.Sort(names)
	return names, again
}

// answeredLocked marks a question as no longer under way.
func (c *Cluster) answeredLocked(q *question, names []string) {
	for _, name := range names {
		if t := c.topics[name]; t != nil && t.question == q {
			t.question = nil
		}
	}
}

// apply stores what an answer says of the topic. The leader with the newer epoch wins, because the
// broker that answers may be behind. If the answers stay behind, the topic was deleted and created
// again.
func (t *topic) apply(m *metadata.ResponseTopic, brokers map[int32]string, now time.Time) {
	var before []Partition
	if t.Topic != nil {
		before = t.Partitions
	}
	partitions := partitionsOf(m, brokers)
	if m.ErrorCode != 0 || len(partitions) == 0 {
		err := kafka.Error(m.ErrorCode)
		if err == 0 { // it is being created
			err = kafka.LeaderNotAvailable
		}
		if t.since.IsZero() || now.Sub(t.askAgain) > longMissing {
			t.since, t.missing = now, 0
		}
		t.missing = min(max(2*t.missing, firstMissing), longMissing)
		t.askAgain = now.Add(t.missing)
		t.Topic = &Topic{Name: m.Name, Err: err, Partitions: before}
		return
	}
	t.missing, t.askAgain, t.since = 0, time.Time{}, time.Time{}
	behind := len(partitions) < len(before)
	for i := range min(len(before), len(partitions)) {
		e := partitions[i].Epoch
		behind = behind || e >= 0 && e < before[i].Epoch
	}
	switch {
	case !behind:
		t.behindFor = time.Time{}
	case t.behindFor.IsZero():
		t.behindFor = now
		fallthrough
	case now.Sub(t.behindFor) < olderEpoch:
		for i, old := range before {
			if i == len(partitions) {
				partitions = append(partitions, before[i:]...)
				break
			}
			if e := partitions[i].Epoch; e >= 0 && e < old.Epoch {
				partitions[i] = old
			}
		}
	default:
		t.behindFor = time.Time{}
	}
	t.Topic = &Topic{Name: m.Name, Partitions: partitions}
}

// comes reports whether to wait for a missing topic: it is being created, or brokers were asked to
// create it a moment ago. Kafka answers with code 3 while it creates a topic, and also if it will
// not create one.
func (t *topic) comes(autoCreate bool) bool {
	asked := t.askAgain.Add(-t.missing)
	return t.Err == kafka.LeaderNotAvailable || t.Err == kafka.UnknownTopicOrPartition && autoCreate && asked.Sub(t.since) < createdWithin
}

// partitionsOf returns the partitions of an answer, numbered from 0 without a gap; nil if the
// answer has none.
func partitionsOf(m *metadata.ResponseTopic, brokers map[int32]string) []Partition {
	if len(m.Partitions) == 0 {
		return nil
	}
	list := make([]Partition, len(m.Partitions))
	for i := range list {
		list[i] = Partition{Leader: NoLeader, Epoch: -1}
	}
	for _, p := range m.Partitions {
		if p.PartitionIndex < 0 || int(p.PartitionIndex) >= len(list) {
			continue
		}
		_, known := brokers[p.LeaderID]
		if known {
			list[p.PartitionIndex].Leader = p.LeaderID
		}
		list[p.PartitionIndex].Epoch = p.LeaderEpoch
	}
	return list
}
