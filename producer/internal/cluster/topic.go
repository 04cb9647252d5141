package cluster

import (
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/metadata"
)

// A Topic is the metadata of a topic. It does not change: a newer answer makes another Topic.
type Topic struct {
	Name string
	// Err is the error of the whole topic in the latest answer, a kafka.Error; nil: it
	// exists.
	Err error
	// Partitions are numbered from 0; those of the last answer that had any.
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
	question  *question // under way, that asks for it; nil: none does
	wanted    time.Time // when a caller asked for it last
	asked     bool
	missing   time.Duration // for how long it is remembered that it does not exist
	askAgain  time.Time     // not before this, if it does not exist
	since     time.Time     // the first of the answers in a row that say so
	behindFor time.Time     // since when the answers have had an older leader; zero: they do not
}

// exists reports whether the topic has partitions, or had some in an earlier answer.
func (t *topic) exists() bool { return t.Topic != nil && len(t.Partitions) > 0 }

// inUse is for how long a topic that does not exist is asked for after a caller has wanted it.
const inUse = 5 * time.Minute

// askForLocked returns the topics that a question asks for: those in use, except those of which
// it is remembered that they do not exist.
func (c *Cluster) askForLocked(q *question, now time.Time) []string {
	names := make([]string, 0, len(c.topics)) // not nil: that would ask for all
	for name, t := range c.topics {
		switch {
		case t.asked && !t.exists() && now.Sub(t.wanted) >= inUse:
			delete(c.topics, name)
		case !t.askAgain.After(now):
			names = append(names, name)
			t.asked, t.question = true, q
		}
	}
	slices.Sort(names)
	return names
}

// answeredLocked says that a question is under way no longer.
func (c *Cluster) answeredLocked(q *question, names []string) {
	for _, name := range names {
		if t := c.topics[name]; t != nil && t.question == q {
			t.question = nil
		}
	}
}

// apply takes over what an answer says of the topic. The newer leader wins, by its epoch:
// a broker that is behind may answer. Only if the answers stay behind, the topic is another
// of the same name.
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

// comes reports whether a topic that does not exist is waited for: it is being created, or brokers
// were asked to create it a moment ago. Kafka answers the same, code 3, while it creates one and
// if it is not going to.
func (t *topic) comes(autoCreate bool) bool {
	asked := t.askAgain.Add(-t.missing)
	return t.Err == kafka.LeaderNotAvailable || t.Err == kafka.UnknownTopicOrPartition && autoCreate && asked.Sub(t.since) < createdWithin
}

// partitionsOf returns what an answer says of the partitions; nil: it names none. They are
// numbered from 0 without a gap.
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
