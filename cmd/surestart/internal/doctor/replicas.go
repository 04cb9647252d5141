package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/describeconfigs"
	"github.com/segmentio/kafka-go/protocol/metadata"
)

const minimumName = "min.insync.replicas"

// replicas compares the in-sync replicas of each partition with min.insync.replicas. If fewer are
// in sync, the leader refuses each write with AcksAll.
func (x *exam) replicas(ctx context.Context, res *metadata.Response) {
	const part = "replicas"
	topics := x.topics()
	switch {
	case topics == nil:
		x.skip("no topic is given", part)
		return
	case res == nil:
		x.skip("the metadata failed", part)
		return
	}
	minimum, err := x.minimum(ctx, topics)
	if err != nil {
		x.skip(err.Error(), part)
		return
	}
	sound, leaderless := true, false
	for _, t := range res.Topics {
		if t.ErrorCode != 0 {
			x.skip("the topic failed", part)
			return
		}
		var below, at, few group
		for _, p := range t.Partitions {
			want, have, all := minimum[t.Name], len(p.IsrNodes), len(p.ReplicaNodes)
			switch {
			case p.ErrorCode != 0:
				leaderless = true
			case have < min(want, all):
				below.add(p)
			case have < all && have == want:
				at.add(p)
			case all < want:
				few.add(p)
			}
		}
		sound = sound && below.n+at.n+few.n == 0
		if below.n > 0 {
			x.fail(part, fmt.Errorf("%s has fewer in-sync replicas than %s, %d: with AcksAll each write is refused", below.of(t.Name), minimumName, minimum[t.Name]),
				below.missing(res), "")
		}
		if at.n > 0 {
			x.warn(part, fmt.Sprintf("%s has %d in-sync replicas, the least that %s allows: without one more, each write is refused", at.of(t.Name), minimum[t.Name], minimumName),
				at.missing(res))
		}
		if few.n > 0 {
			x.warn(part, fmt.Sprintf("%s has fewer replicas than %s, %d: Kafka 2.1 refuses each write, 4.1 accepts writes with the replicas that exist", few.of(t.Name), minimumName, minimum[t.Name]),
				"the topic was created with too few replicas: add some with kafka-reassign-partitions, or lower "+minimumName)
		}
	}
	switch {
	case !sound:
	case leaderless:
		x.skip("a partition has no leader", part)
	default:
		x.ok(part, "each partition has the in-sync replicas that %s wants", minimumName)
	}
}

// minimum asks for min.insync.replicas of each topic.
func (x *exam) minimum(ctx context.Context, topics []string) (map[string]int, error) {
	req := new(describeconfigs.Request)
	for _, topic := range topics {
		req.Resources = append(req.Resources, describeconfigs.RequestResource{
			ResourceType: int8(kafka.ResourceTypeTopic), ResourceName: topic, ConfigNames: []string{minimumName},
		})
	}
	res, err := x.ask(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("the brokers do not say what %s is: %w", minimumName, err)
	}
	minimum := make(map[string]int)
	for _, r := range res.(*describeconfigs.Response).Resources {
		if code := kafka.Error(r.ErrorCode); errors.Is(code, kafka.TopicAuthorizationFailed) {
			return nil, fmt.Errorf("this user may not read %s of %s; that needs DESCRIBE_CONFIGS on the topic", minimumName, r.ResourceName)
		}
		for _, entry := range r.ConfigEntries {
			if n, err := strconv.Atoi(entry.ConfigValue); err == nil && entry.ConfigName == minimumName {
				minimum[r.ResourceName] = n
			}
		}
	}
	for _, topic := range topics {
		if minimum[topic] == 0 {
			return nil, fmt.Errorf("the brokers do not say what %s of %s is", minimumName, topic)
		}
	}
	return minimum, nil
}

// A group is the partitions of a topic with the same lack of replicas.
type group struct {
	n      int
	first  int32
	behind []int32 // nodes with a replica that is not in sync, sorted
}

func (g *group) add(p metadata.ResponsePartition) {
	if g.n == 0 || p.PartitionIndex < g.first {
		g.first = p.PartitionIndex
	}
	g.n++
	for _, node := range p.ReplicaNodes {
		if at, known := slices.BinarySearch(g.behind, node); !known && !slices.Contains(p.IsrNodes, node) {
			g.behind = slices.Insert(g.behind, at, node)
		}
	}
}

func (g *group) of(topic string) string {
	if g.n == 1 {
		return fmt.Sprintf("%s/%d", topic, g.first)
	}
	return fmt.Sprintf("each of %d partitions of %s, the first is %d,", g.n, topic, g.first)
}

// missing says why replicas are not in sync, and what to do.
func (g *group) missing(res *metadata.Response) string {
	var down, slow []string
	for _, node := range g.behind {
		if slices.ContainsFunc(res.Brokers, func(b metadata.ResponseBroker) bool { return b.NodeID == node }) {
			slow = append(slow, fmt.Sprint(node))
		} else {
			down = append(down, fmt.Sprint(node))
		}
	}
	var says []string
	if down != nil {
		says = append(says, "brokers that are down: "+strings.Join(down, ", ")+"; start them")
	}
	if slow != nil {
		says = append(says, "brokers that are up and behind: "+strings.Join(slow, ", ")+"; wait if they have just started, otherwise look at their logs, disks and network")
	}
	return strings.Join(says, "; ")
}
