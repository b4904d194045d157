import java.util.concurrent.CountDownLatch;

import org.codelibs.opensearch.runner.OpenSearchRunner;

/**
 * One OpenSearch node on 127.0.0.1, until it is killed or told to stop:
 * OpenSearch FOLDER PORT TRANSPORT_PORT [SETTING=VALUE...]
 */
public class OpenSearch
{
	public static void main(String[] args) throws Exception
	{
		OpenSearchRunner runner = new OpenSearchRunner();

		runner.onBuild((number, settings) -> {
			settings.put("network.host", "127.0.0.1");
			settings.put("http.port", args[1]);
			settings.put("transport.port", args[2]);
			// Else it looks for other nodes, for three seconds.
			settings.put("cluster.initial_cluster_manager_nodes", "Node 1");
			settings.put("cluster.routing.allocation.disk.threshold_enabled", false);
			for (int i = 3; i < args.length; i++)
			{
				String[] setting = args[i].split("=", 2);

				settings.put(setting[0], setting[1]);
			}
		});
		Runtime.getRuntime().addShutdownHook(new Thread(() -> {
			try
			{
				runner.close();
			}
			catch (Exception problem)
			{
				problem.printStackTrace();
			}
		}));
		runner.build(OpenSearchRunner.newConfigs().basePath(args[0]).numOfNode(1).clusterName("esgf_stac").useLogger());
		new CountDownLatch(1).await();
	}
}
