package producer

import (
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/produce"
)

// A code is an error code of a broker, as an answer to a produce request: what it says
// of the messages, and what is done about it.
type code struct {
	kafka.Error
	before bool   // a broker checks it before it appends: the messages are not in the log
	again  bool   // the same messages may be accepted later
	moved  bool   // the leader has changed, or is gone
	parts  bool   // some of the messages may be at fault, not all
	where  string // in Apache Kafka 4.1 it arises
}

// codes has each code that Apache Kafka answers a produce request with. A code that is
// not here is ambiguous: nothing is known of where a broker checks it. Only what is known
// to be checked before the append says that a message is not in the log.
//
// With acks=all a leader appends, and then waits for its replicas (DelayedProduce). If it
// loses its place meanwhile it answers NotLeaderForPartition or UnknownTopicOrPartition,
// although the messages are in its log, and may be in its successor's. Apache Kafka keeps
// the base offset of the append in such an answer, and gives -1 in one from before it
// (TestApacheKafkaNotLeaderAfterAppend shows both). That is no rule of the protocol, and
// other brokers need not keep it, so it decides nothing here.
//
// What is tried again is what the Java client tries again.
var codes = byCode([]code{
	{Error: kafka.Unknown, where: "any exception that has no code, in ReplicaManager.appendToLocalLog too: perhaps after UnifiedLog.append has written"},
	{Error: kafka.InvalidMessage, before: true, again: true, where: "the checksum: UnifiedLog.analyzeAndValidateRecords, before append writes"},
	{Error: kafka.UnknownTopicOrPartition, again: true, moved: true, where: "KafkaApis and ReplicaManager.getPartitionOrError: before the append, and in DelayedProduce after it"},
	{Error: kafka.NotLeaderForPartition, again: true, moved: true, where: "Partition.appendRecordsToLeader, before the append; Partition.checkEnoughReplicasReachOffset in DelayedProduce, after it"},
	{Error: kafka.RequestTimedOut, again: true, where: "DelayedProduce: appended, but not by all replicas in time"},
	{Error: kafka.ReplicaNotAvailable, again: true, where: "ReplicaManager.getPartitionOrException"},
	{Error: kafka.MessageSizeTooLarge, before: true, parts: true, where: "max.message.bytes: UnifiedLog.analyzeAndValidateRecords and append, before it writes"},
	{Error: kafka.NetworkException, again: true, where: "clients, of an answer that did not come"},
	{Error: kafka.InvalidTopic, before: true, where: "an internal topic: ReplicaManager.appendToLocalLog, before the append"},
	{Error: kafka.RecordListTooLarge, before: true, parts: true, where: "segment.bytes: UnifiedLog.append, before it writes"},
	{Error: kafka.NotEnoughReplicas, before: true, again: true, where: "min.insync.replicas: Partition.appendRecordsToLeader, before the append"},
	{Error: kafka.NotEnoughReplicasAfterAppend, again: true, where: "Partition.checkEnoughReplicasReachOffset in DelayedProduce: appended"},
	{Error: kafka.InvalidRequiredAcks, before: true, where: "ReplicaManager.appendRecords, before the append"},
	{Error: kafka.TopicAuthorizationFailed, before: true, where: "KafkaApis.handleProduceRequest, before the append"},
	{Error: kafka.ClusterAuthorizationFailed, before: true, where: "KafkaApis, of an idempotent write before Kafka 3.0: before the append"},
	{Error: kafka.InvalidTimestamp, before: true, parts: true, where: "LogValidator, before the append"},
	{Error: kafka.UnsupportedVersion, before: true, where: "the request cannot be read: KafkaApis"},
	{Error: kafka.InvalidRequest, before: true, where: "ProduceRequest.validateRecords, before the append"},
	{Error: kafka.UnsupportedForMessageFormat, before: true, where: "LogValidator, before the append"},
	{Error: kafka.PolicyViolation, before: true, where: "a broker's own policy for records, before the append"},
	{Error: kafka.UnsupportedCompressionType, before: true, where: "ProduceRequest.validateRecords and LogValidator, before the append"},
	{Error: kafka.InvalidRecord, before: true, parts: true, where: "LogValidator, before the append"},
	{Error: kafka.KafkaStorageError, again: true, moved: true, where: "a disk that fails: LocalLog.maybeHandleIOException, before, while or after it writes"},

	// Of the sequences of an idempotent producer, which this one is not. They are checked
	// before the append (ProducerStateManager, ProducerAppendInfo).
	{Error: kafka.OutOfOrderSequenceNumber, before: true, where: "ProducerAppendInfo.checkSequence, before the append"},
	{Error: kafka.InvalidProducerEpoch, before: true, where: "ProducerAppendInfo.checkProducerEpoch, before the append"},
	{Error: kafka.UnknownProducerId, before: true, where: "ProducerAppendInfo, before the append, until Kafka 2.4"},

	// Apache Kafka gives these in other answers; kafka-go, the first two before it sends.
	{Error: kafka.LeaderNotAvailable, again: true, moved: true, where: "metadata"},
	{Error: kafka.BrokerNotAvailable, again: true, moved: true, where: "metadata"},
	{Error: kafka.FencedLeaderEpoch, again: true, moved: true, where: "requests that name the leader's epoch"},
	{Error: kafka.UnknownLeaderEpoch, again: true, moved: true, where: "requests that name the leader's epoch"},
})

func byCode(list []code) map[kafka.Error]code {
	m := make(map[kafka.Error]code, len(list))
	for _, c := range list {
		m[c.Error] = c
	}
	return m
}

// mayPass reports whether the same may succeed later, if a broker said this.
func mayPass(e kafka.Error) bool {
	if c, ok := codes[e]; ok {
		return c.again
	}
	return e.Temporary()
}

var errNoPartition = errors.New("the broker's answer lacks the partition that was asked about")

// answer returns what a broker answered of the partition that a request is for, the error
// in it, and whether to try again. It notes what that says of the messages.
func (u *underway) answer(res kafka.Response, topic string, partition int32) (p *produce.ResponsePartition, err error, again bool) {
	if r, ok := res.(*produce.Response); ok && len(r.Topics) == 1 && r.Topics[0].Topic == topic &&
		len(r.Topics[0].Partitions) == 1 && r.Topics[0].Partitions[0].Partition == partition {
		p = &r.Topics[0].Partitions[0]
	} else {
		u.maybe = true
		return nil, errNoPartition, true // no better than no answer
	}
	if p.ErrorCode == 0 {
		return p, nil, false
	}
	e := kafka.Error(p.ErrorCode)
	if codes[e].before {
		u.refused = true
	} else {
		u.maybe = true
	}
	if p.ErrorMessage != "" {
		return p, fmt.Errorf("%w: %s", e, p.ErrorMessage), mayPass(e)
	}
	return p, e, mayPass(e)
}
