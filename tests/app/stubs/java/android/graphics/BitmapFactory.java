package android.graphics;

import java.awt.image.BufferedImage;
import java.io.File;
import javax.imageio.ImageIO;

public class BitmapFactory {
    public static class Options {
        public boolean inPremultiplied = true;
    }

    public static Bitmap decodeFile(String path, Options options) {
        try {
            BufferedImage image = ImageIO.read(new File(path));
            int width = image.getWidth();
            int height = image.getHeight();
            int bands = image.getRaster().getNumBands();
            Bitmap bitmap = Bitmap.createBitmap(width, height, Bitmap.Config.ARGB_8888);
            int[] pixels = new int[width * height];
            int[] each = new int[bands];
            for (int place = 0; place < pixels.length; place++) {
                image.getRaster().getPixel(place % width, place / width, each);
                int alpha = bands == 4 ? each[3] : 255;
                int last = bands < 3 ? 0 : 2;
                pixels[place] = alpha << 24 | each[0] << 16 | each[last / 2] << 8 | each[last];
            }
            bitmap.setPixels(pixels, 0, width, 0, 0, width, height);
            return bitmap;
        } catch (java.io.IOException error) {
            return null;
        }
    }
}
