import java.util.HexFormat;
import java.util.Random;
import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;
import org.apache.kafka.common.utils.Utils;

/**
 * Prints where the Java client puts 1,000 keys: the key in hex, its murmur2, and its
 * partition of 3, 7, 50 and 1000. From the root of the repository, with a JDK:
 *
 *   java -cp "$(./check tools kafka)/*" producer/internal/engine/testdata/Partitions.java >producer/internal/engine/testdata/partitions.txt
 */
class Partitions {
    public static void main(String[] args) {
        Random random = new Random(1143);
        for (int i = 0; i < 1000; i++) {
            byte[] key = i % 2 == 0 ? ("key-" + (long) i * i).getBytes() : new byte[random.nextInt(33)];
            if (i % 2 == 1) {
                random.nextBytes(key);
            }
            StringBuilder line = new StringBuilder();
            line.append('x').append(HexFormat.of().formatHex(key)).append(' ').append(Utils.murmur2(key));
            for (int n : new int[] {3, 7, 50, 1000}) {
                line.append(' ').append(BuiltInPartitioner.partitionForKey(key, n));
            }
            System.out.println(line);
        }
    }
}
