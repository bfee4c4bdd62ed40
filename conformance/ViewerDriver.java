import java.awt.Image;
import java.awt.image.PixelGrabber;
import java.io.DataOutputStream;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Drives OpenJPIP's viewer without its window: the classes that its window calls, in the order in which it calls them.
 * Arguments: the JPIP address, the target, the port of opj_dec_server, an output folder, 0 for http or 1 for http-tcp,
 * "jpt" or "jpp", and regions "fw,fh,rx,ry,rw,rh". Picture n goes to n.rgb, width and height and then the pixels.
 */
public class ViewerDriver {
    /** Only a subclass may see which channel was granted. */
    static class Manager extends ImageManager {
        Manager(String address, int port) {
            super(address, "localhost", port);
        }

        String channel() {
            return cid;
        }
    }

    public static void main(String[] words) throws Exception {
        Manager manager = new Manager(words[0], Integer.parseInt(words[2]));
        Path folder = Path.of(words[3]);
        String[] first = words[6].split(",");
        boolean jpp = words[5].equals("jpp");
        Image image = manager.getImage(words[1], Integer.parseInt(first[0]), Integer.parseInt(first[1]), true,
            Integer.parseInt(words[4]), jpp, !jpp);
        save(manager, image, folder.resolve("0.rgb"));
        for (int i = 7; i < words.length; i++) {
            int[] r = new int[6];
            for (int k = 0; k < 6; k++) {
                r[k] = Integer.parseInt(words[i].split(",")[k]);
            }
            save(manager, manager.getImage(r[0], r[1], r[2], r[3], r[4], r[5]), folder.resolve((i - 6) + ".rgb"));
        }
        System.out.println("size " + manager.getOrigWidth() + "," + manager.getOrigHeight());
        byte[] xml = manager.getXML();
        if (xml != null) {
            Files.write(folder.resolve("document.xml"), xml);
            for (JP2XMLparser.ROIparams roi : new JP2XMLparser(xml).getROIparams()) {
                System.out.println("roi " + roi.name + " " + roi.x + "," + roi.y + "," + roi.w + "," + roi.h);
            }
        }
        manager.closeChannel();
    }

    static void save(Manager manager, Image image, Path path) throws Exception {
        System.out.println("channel " + manager.channel() + " fsiz " + manager.getFw() + "," + manager.getFh() + " roff "
            + manager.getRx() + "," + manager.getRy() + " rsiz " + manager.getRw() + "," + manager.getRh());
        PixelGrabber grabber = new PixelGrabber(image, 0, 0, -1, -1, true);
        if (!grabber.grabPixels()) {
            throw new IllegalStateException("no pixels");
        }
        try (DataOutputStream out = new DataOutputStream(new java.io.BufferedOutputStream(Files.newOutputStream(path)))) {
            out.writeInt(grabber.getWidth());
            out.writeInt(grabber.getHeight());
            for (int pixel : (int[]) grabber.getPixels()) {
                out.writeInt(pixel);
            }
        }
    }
}
