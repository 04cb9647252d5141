package core

import "github.com/segmentio/kafka-go"

// Answer is what an answer to a produce request says of the batch.
type Answer uint8

// The answers, as tla/Partition.tla names them, and Final.
const (
	Ok       Answer = iota // it is in the log, as Acks says
	Unsure                 // it may be in the log or not; the same bytes are sent again
	Final                  // it may be in the log or not, and is not sent again; in the specification AnswerUnsure, then GiveUp for each message
	Retry                  // it was refused before the append, for now
	Refused                // it was refused before the append, for good
	Large                  // it was refused before the append: it is too large, or not all of its records are at fault
	Invalid                // some of its records are refused, and nothing was appended
	Sequence               // another sequence number or epoch was expected
)

var answerNames = [...]string{"ok", "unsure", "final", "retry", "refused", "large", "invalid", "sequence"}

// String returns the answer's name in the specification.
func (a Answer) String() string { return name(answerNames[:], int(a), "Answer") }

// Code is a row of the table of error codes.
type Code struct {
	Code   kafka.Error // what a broker answers a produce request with; 0: no error
	Answer Answer
	Where  string // in Apache Kafka 4.1 it arises
}

// Codes returns the table: every code with which Apache Kafka answers a produce request, by its number.
//
// With Acks "all" a leader appends, and then waits for its replicas (DelayedProduce). If it loses its place meanwhile it
// answers 6 or 3, although the batch is in its log, and may be in its successor's. So a code
// proves that a batch is not in the log only if the broker always checks it before the append.
func Codes() []Code { return append([]Code(nil), codes...) }

var codes = []Code{
	{kafka.Unknown, Unsure, "any exception that has no code, in ReplicaManager.appendToLocalLog too: perhaps after UnifiedLog.append has written"},
	{0, Ok, "DelayedProduce: all in-sync replicas have it; with acks=1 ReplicaManager.appendRecords: the leader has it"},
	{kafka.InvalidMessage, Retry, "the checksum: UnifiedLog.analyzeAndValidateRecords, before append writes"},
	{kafka.UnknownTopicOrPartition, Unsure, "KafkaApis and ReplicaManager.getPartitionOrError: before the append, and in DelayedProduce after it"},
	{kafka.LeaderNotAvailable, Unsure, "metadata; not in answers to produce requests"},
	{kafka.NotLeaderForPartition, Unsure, "Partition.appendRecordsToLeader, before the append; Partition.checkEnoughReplicasReachOffset in DelayedProduce, after it"},
	{kafka.RequestTimedOut, Unsure, "DelayedProduce: appended, but not by all replicas in time"},
	{kafka.BrokerNotAvailable, Unsure, "metadata; not in answers to produce requests"},
	{kafka.ReplicaNotAvailable, Unsure, "ReplicaManager.getPartitionOrException"},
	{kafka.MessageSizeTooLarge, Large, "max.message.bytes: UnifiedLog.analyzeAndValidateRecords and append, before it writes"},
	{kafka.NetworkException, Unsure, "clients, of an answer that did not come"},
	{kafka.InvalidTopic, Refused, "an internal topic: ReplicaManager.appendToLocalLog, before the append"},
	{kafka.RecordListTooLarge, Large, "segment.bytes: UnifiedLog.append, before it writes"},
	{kafka.NotEnoughReplicas, Retry, "min.insync.replicas: Partition.appendRecordsToLeader, before the append"},
	{kafka.NotEnoughReplicasAfterAppend, Unsure, "Partition.checkEnoughReplicasReachOffset in DelayedProduce: appended"},
	{kafka.InvalidRequiredAcks, Refused, "ReplicaManager.appendRecords, before the append"},
	{kafka.TopicAuthorizationFailed, Refused, "KafkaApis.handleProduceRequest, before the append"},
	{kafka.ClusterAuthorizationFailed, Refused, "KafkaApis, of an idempotent write before Kafka 3.0: before the append"},
	{kafka.InvalidTimestamp, Invalid, "LogValidator, before the append"},
	{kafka.UnsupportedVersion, Refused, "the request cannot be read: KafkaApis"},
	{kafka.InvalidRequest, Refused, "ProduceRequest.validateRecords, before the append"},
	{kafka.UnsupportedForMessageFormat, Refused, "LogValidator, before the append"},
	{kafka.PolicyViolation, Refused, "a broker's own policy for records, before the append"},
	{kafka.OutOfOrderSequenceNumber, Sequence, "ProducerAppendInfo.checkSequence, before the append"},
	{kafka.DuplicateSequenceNumber, Ok, "ProducerStateManager until Kafka 1.0: the batch is in the log, and not one of the last"},
	{kafka.InvalidProducerEpoch, Sequence, "ProducerAppendInfo.checkProducerEpoch, before the append"},
	{kafka.KafkaStorageError, Unsure, "a disk that fails: LocalLog.maybeHandleIOException, before, while or after it writes"},
	{kafka.UnknownProducerId, Sequence, "ProducerAppendInfo, before the append, until Kafka 2.4"},
	{kafka.FencedLeaderEpoch, Unsure, "requests that name the leader's epoch; not in answers to produce requests"},
	{kafka.UnknownLeaderEpoch, Unsure, "requests that name the leader's epoch; not in answers to produce requests"},
	{kafka.UnsupportedCompressionType, Refused, "ProduceRequest.validateRecords and LogValidator, before the append"},
	{kafka.InvalidRecord, Invalid, "LogValidator, before the append"},
}

var byCode = func() map[kafka.Error]Answer {
	m := make(map[kafka.Error]Answer, len(codes))
	for _, c := range codes {
		m[c.Code] = c.Answer
	}
	return m
}()

// AnswerOf returns what an answer with a code says. A code that is not in the table is [Final]: nothing is known of where
// a broker checks it. An answer without the partition, and none, is no Answer: see [Partition.Lose].
func AnswerOf(code kafka.Error) Answer {
	if a, ok := byCode[code]; ok {
		return a
	}
	return Final
}
