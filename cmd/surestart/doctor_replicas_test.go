package main

import (
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Too few in-sync replicas are said, with the brokers to look at. The embedded cluster always has
// all replicas in sync, so the test answers the questions for metadata.
func TestDoctorReplicas(t *testing.T) {
	type partition struct{ replicas, inSync []int32 }
	three, noLeader := []int32{0, 1, 2}, partition{[]int32{2}, nil}
	for name, c := range map[string]struct {
		minimum    string
		brokers    int
		partitions []partition
		status     int
		mark, what string
		likely     string
	}{
		"all in sync":  {"2", 3, []partition{{three, three}}, exitOK, "ok", "each partition has the in-sync replicas", ""},
		"one replica":  {"1", 1, []partition{{[]int32{0}, []int32{0}}}, exitOK, "ok", "each partition has the in-sync replicas", ""},
		"one to spare": {"1", 2, []partition{{three, []int32{0, 1}}}, exitOK, "ok", "each partition has the in-sync replicas", ""},
		"the least, one down": {"2", 2, []partition{{three, three}, {three, []int32{0, 1}}}, exitOK, "warn",
			"lines/1 has 2 in-sync replicas, the least", "brokers that are down: 2; start them"},
		"the least, one behind": {"2", 3, []partition{{three, []int32{0, 1}}, {three, []int32{0, 2}}}, exitOK, "warn",
			"each of 2 partitions of lines, the first is 0, has 2 in-sync replicas", "up and behind: 1, 2; wait"},
		"too few": {"2", 2, []partition{{three, []int32{0}}}, exitFail, "FAIL",
			"lines/0 has fewer in-sync replicas than min.insync.replicas, 2", "down: 2; start them; brokers that are up and behind: 1;"},
		"a topic with too few": {"2", 1, []partition{{[]int32{0}, []int32{0}}}, exitOK, "warn", "lines/0 has fewer replicas than", "kafka-reassign-partitions"},
		"no leader":            {"1", 2, []partition{{three, three}, noLeader}, exitFail, "-", "not checked: a partition has no leader", ""},
		"no leader, and too few": {"2", 2, []partition{{three, []int32{0}}, noLeader}, exitFail, "FAIL",
			"lines/0 has fewer in-sync replicas", "down: 2; start"},
		"not told": {"", 3, []partition{{three, []int32{0}}}, exitOK, "-", "not checked: the brokers do not say what min.insync.replicas of lines is", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(int32(len(c.partitions)), "lines"),
				kfake.BrokerConfigs(map[string]string{"min.insync.replicas": c.minimum}))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(cluster.Close)
			host, port, _ := net.SplitHostPort(cluster.ListenAddrs()[0])
			number, _ := strconv.Atoi(port)
			cluster.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
				cluster.KeepControl()
				res := req.ResponseKind().(*kmsg.MetadataResponse)
				for i := range c.brokers {
					b := kmsg.NewMetadataResponseBroker()
					b.NodeID, b.Host, b.Port = int32(i), host, int32(number)
					res.Brokers = append(res.Brokers, b)
				}
				topic := kmsg.NewMetadataResponseTopic()
				topic.Topic = kmsg.StringPtr("lines")
				for i, from := range c.partitions {
					p := kmsg.NewMetadataResponseTopicPartition()
					p.Partition, p.Replicas, p.ISR = int32(i), from.replicas, from.inSync
					if from.inSync == nil {
						p.Leader, p.ErrorCode = -1, kerr.LeaderNotAvailable.Code
					}
					topic.Partitions = append(topic.Partitions, p)
				}
				res.Topics = append(res.Topics, topic)
				return res, nil, true
			})
			if c.minimum == "" {
				cluster.ControlKey(int16(kmsg.DescribeConfigs), func(req kmsg.Request) (kmsg.Response, error, bool) {
					return req.ResponseKind(), nil, true
				})
			}
			r := call(t, "", "doctor", "-brokers", cluster.ListenAddrs()[0], "-topic", "lines")
			mark, what, likely := replicasOf(r.out)
			if r.status != c.status || mark != c.mark || !strings.HasPrefix(what, c.what) || !strings.Contains(likely, c.likely) || (likely == "") != (c.likely == "") {
				t.Errorf("status %d:\n%s%s", r.status, r.out, r.err)
			}
		})
	}
}

// replicasOf returns what doctor says about the in-sync replicas, and the likely cause.
func replicasOf(out string) (mark, what, likely string) {
	lines := strings.Split(out+"\n", "\n")
	for i, line := range lines {
		if fields := strings.Fields(line); len(fields) > 2 && fields[1] == "replicas" {
			_, what, _ = strings.Cut(line, "  replicas     ")
			if strings.HasPrefix(lines[i+1], "      likely:") {
				likely = lines[i+1]
			}
			return fields[0], what, likely
		}
	}
	return "", "", ""
}
