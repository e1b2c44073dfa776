import java.util.Collection;
import java.util.Map;
import java.util.Scanner;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.retry.RetryOneTime;
import org.apache.curator.x.discovery.ServiceDiscovery;
import org.apache.curator.x.discovery.ServiceDiscoveryBuilder;
import org.apache.curator.x.discovery.ServiceInstance;
import org.apache.curator.x.discovery.UriSpec;

/** A service on the JVM: registers "jvm-1", and says what it finds each time its standard input names a service. */
public final class Peer {
    /** What a typed reader expects payloads to be, shaped as Spring Cloud's ZookeeperInstance. */
    public static final class Typed {
        public String id;
        public String name;
        public Map<String, String> metadata;
    }

    public static void main(String[] arguments) throws Exception {
        CuratorFramework client = CuratorFrameworkFactory.newClient(arguments[0], 4000, 4000, new RetryOneTime(100));
        client.start();
        ServiceInstance<Object> self = ServiceInstance.<Object>builder()
            .name("svc").id("jvm-1").address("127.0.0.1").port(9000).registrationTimeUTC(1795418114984L)
            .uriSpec(new UriSpec("{scheme}://{address}:{port}")).build();
        ServiceDiscovery<Object> discovery =
            ServiceDiscoveryBuilder.builder(Object.class).client(client).basePath(arguments[1]).thisInstance(self).build();
        discovery.start();
        ServiceDiscovery<Typed> typed = ServiceDiscoveryBuilder.builder(Typed.class).client(client).basePath(arguments[1]).build();
        say("registered");
        try (Scanner lines = new Scanner(System.in)) {
            while (lines.hasNextLine()) {
                String[] question = lines.nextLine().split(" ");
                try {
                    say(question[0].equals("typed") ? describeTyped(typed, question[1]) : describe(discovery, question[1]));
                } catch (Exception error) {
                    say("failed " + error);
                }
            }
        }
        discovery.close();
        client.close();
    }

    private static String describe(ServiceDiscovery<Object> discovery, String service) throws Exception {
        StringBuilder found = new StringBuilder();
        for (ServiceInstance<Object> one : sorted(discovery.queryForInstances(service))) {
            found.append(one.getId()).append(' ').append(one.buildUriSpec()).append(' ').append(one.getPayload()).append(';');
        }
        return found.toString();
    }

    private static String describeTyped(ServiceDiscovery<Typed> discovery, String service) throws Exception {
        StringBuilder found = new StringBuilder();
        for (ServiceInstance<Typed> one : sorted(discovery.queryForInstances(service))) {
            Typed payload = one.getPayload();
            found.append(one.getId()).append(' ').append(payload == null ? null : payload.name + payload.metadata).append(';');
        }
        return found.toString();
    }

    private static <T> Collection<ServiceInstance<T>> sorted(Collection<ServiceInstance<T>> instances) {
        return instances.stream().sorted((one, other) -> one.getId().compareTo(other.getId())).toList();
    }

    private static void say(String line) {
        System.out.println(line);
        System.out.flush();
    }
}
